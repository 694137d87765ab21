// Reading one regular file without being led astray and without leaving a trace.

import { type BigIntStats, closeSync, fstatSync, openSync, read, readSync } from 'node:fs'
import { Glance, type Sighting } from '../native/glance.ts'
import { nextData, type Segment } from '../native/holes.ts'
import { OPEN_CONTENT, OPEN_CONTENT_WITH_ATIME } from '../native/open-flags.ts'
import { adviseReading } from '../native/read-ahead.ts'
import { SyscallError, systemErrorCode } from '../native/syscall-error.ts'
import { giveBackReadBuffer, READ_BYTES, takeReadBuffer } from './read-buffers.ts'
import type { SeenFile, SourceFile } from './source.ts'

/** Opens a path for reading and returns the descriptor; throws a system error. Passed in so that tests can count. */
export type OpenContent = (path: Buffer, flags: number) => number

/** The operating system's open. */
export const systemOpen: OpenContent = (path, flags) => openSync(path, flags)

/**
 * Up to this many bytes a file is read in one blocking call: with the kernel reading ahead it is
 * usually in memory by then, and a round trip through the thread pool would cost ten times the read.
 */
const SMALL_BYTES = 256 << 10
const zeros = Buffer.alloc(READ_BYTES)
/** `EAGAIN`: the file is not the one that was looked at. */
const REPLACED = 11

/**
 * Open `path` for its content, if it still is the regular file that `seen` describes.
 * Throws a system error; `EAGAIN` if another file took its name meanwhile.
 */
export function openContent(path: Buffer, seen: BigIntStats, open: OpenContent): SourceFile {
  const fd = openQuietly(path, open)
  try {
    const stat = fstatSync(fd, { bigint: true })
    if (!stat.isFile() || stat.dev !== seen.dev || stat.ino !== seen.ino) {
      throw new SyscallError('open', REPLACED)
    }
    adviseReading(fd, stat.size > BigInt(SMALL_BYTES) ? 'sequential' : 'will-need')
    return new OpenFile(fd, stat)
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/** As `openContent`, without a word why not; the file must be exactly as it was seen. */
export function openSeen(path: Buffer, seen: Sighting, open: OpenContent): SeenFile | undefined {
  let fd: number
  try {
    fd = openQuietly(path, open)
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error
    return undefined
  }
  if (!glance.of(fd) || !glance.shows(seen)) {
    closeSync(fd)
    return undefined
  }
  adviseReading(fd, 'will-need')
  return {
    readInto: (into) => readWhole(fd, into).length,
    isAsSeen: () => glance.of(fd) && glance.shows(seen),
    close: () => closeSync(fd),
  }
}

/** One for all: nothing else happens between a look and the question it is for. */
const glance = new Glance()

function openQuietly(path: Buffer, open: OpenContent): number {
  try {
    return open(path, OPEN_CONTENT)
  } catch (error) {
    if (systemErrorCode(error) !== 'EPERM') throw error
    return open(path, OPEN_CONTENT_WITH_ATIME)
  }
}

class OpenFile implements SourceFile {
  readonly stat: BigIntStats
  readonly #fd: number
  #reading: Promise<unknown> | undefined
  #small: Buffer | undefined
  #closed = false

  constructor(fd: number, stat: BigIntStats) {
    this.#fd = fd
    this.stat = stat
  }

  content(): AsyncIterable<Uint8Array> | readonly Uint8Array[] {
    const size = Number(this.stat.size)
    if (size === 0) return []
    if (size > SMALL_BYTES) return this.#large(size)
    this.#small ??= takeReadBuffer()
    const bytes = readWhole(this.#fd, this.#small.subarray(0, size))
    return bytes.length === 0 ? [] : [bytes]
  }

  async *#large(size: number): AsyncGenerator<Uint8Array> {
    const sparse = this.stat.blocks * 512n < this.stat.size
    if (!sparse) return yield* this.#stretch({ start: 0, end: size })
    for (let offset = 0; offset < size; ) {
      const data = nextData(this.#fd, offset)
      const start = Math.min(data?.start ?? size, size)
      yield* hole(start - offset)
      if (!data || start === size) return
      const end = Math.min(data.end, size)
      yield* this.#stretch({ start, end })
      offset = end
    }
  }

  /** Data read with one buffer being filled while the other is looked at. */
  async *#stretch({ start, end }: Segment): AsyncGenerator<Uint8Array> {
    const buffers = [takeReadBuffer(), takeReadBuffer()] as const
    let turn = 0
    let next = this.#read(buffers[0], start, end)
    try {
      for (let offset = start; offset < end; ) {
        const filled = await next
        if (filled.length === 0) return // it shrank; `now` will tell
        offset += filled.length
        turn = 1 - turn
        if (offset < end) next = this.#read(buffers[turn]!, offset, end)
        yield filled
      }
    } finally {
      await next.catch(() => {}) // nobody may have the buffer that is still being filled
      for (const buffer of buffers) giveBackReadBuffer(buffer)
    }
  }

  #read(buffer: Buffer, offset: number, end: number): Promise<Buffer> {
    const reading = new Promise<Buffer>((resolve, reject) => {
      read(this.#fd, buffer, 0, Math.min(buffer.length, end - offset), offset, (error, count) => {
        if (error) reject(error)
        else resolve(buffer.subarray(0, count))
      })
    })
    reading.catch(() => {}) // whoever awaits it gets the error; a reader that left must not crash us
    this.#reading = reading
    return reading
  }

  readInto(into: Buffer): number {
    return readWhole(this.#fd, into).length
  }

  now(): BigIntStats {
    return fstatSync(this.#fd, { bigint: true })
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    if (this.#small) giveBackReadBuffer(this.#small)
    const release = () => closeSync(this.#fd)
    // A read under way in the thread pool must not find its descriptor number given to another file.
    if (this.#reading) this.#reading.then(release, release)
    else release()
  }
}

function readWhole(fd: number, bytes: Buffer): Buffer {
  let filled = 0
  while (filled < bytes.length) {
    const count = readSync(fd, bytes, filled, bytes.length - filled, filled)
    if (count === 0) break
    filled += count
  }
  return bytes.subarray(0, filled)
}

function* hole(length: number): Generator<Uint8Array> {
  for (let left = length; left > 0; left -= READ_BYTES) {
    yield left >= READ_BYTES ? zeros : zeros.subarray(0, left)
  }
}
