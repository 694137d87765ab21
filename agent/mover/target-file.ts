// One file of a restore's target while its content arrives.

import {
  closeSync,
  constants,
  ftruncateSync,
  lstatSync,
  readSync,
  unlinkSync,
  write,
  writeSync,
} from 'node:fs'
import { HoldfastError } from '../../shared/errors.ts'
import { nextData } from '../native/holes.ts'
import { openAt } from '../native/open-at.ts'
import { punchHole } from '../native/open-file.ts'
import { idOf } from '../repository/id.ts'
import type { TreeNode } from '../repository/tree.ts'
import { OpenEntry } from './restore-metadata.ts'
import type { TargetDirectories, TargetDirectory } from './target-directory.ts'
import { holesBetween, type Run, writtenRuns } from './zero-runs.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants

/** restic's chunk of nothing but zeros: 512 KiB, the least chunk, where the chunker always cuts zeros. */
export const zeroChunk = {
  id: '07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541',
  length: 512 << 10,
} as const

/** Longer pieces are written on another thread, so that hashing and writing go on side by side. Bytes. */
const SMALL_WRITE = 64 << 10

/** A chunk of a file and where it begins, in bytes. */
export interface Chunk {
  readonly id: string
  readonly offset: number
  readonly length: number
}

export class TargetFile {
  readonly directory: TargetDirectory
  readonly node: TreeNode
  readonly size: number
  /** Chunks that are neither in place nor known to be lost yet, and one until all of them are known. */
  missing: number
  /** Whether some of its content cannot be had. */
  damaged = false
  readonly #directories: TargetDirectories
  /** Bytes never written read as zero: false once an earlier attempt may have written anywhere. */
  #fresh = true
  #made = false
  #fd: number | undefined
  #users = 0
  /** One past the last byte that is there. */
  #reached = 0

  /** `size` and the number of `chunks` are those of the content, whatever the node says. */
  constructor(
    directories: TargetDirectories,
    directory: TargetDirectory,
    node: TreeNode,
    size: number,
    chunks: number,
  ) {
    this.#directories = directories
    this.directory = directory
    this.node = node
    this.size = size
    this.missing = chunks + 1
  }

  /** Whether nobody uses its descriptor right now. */
  get idle(): boolean {
    return this.#users === 0
  }

  /** The descriptor for reading and writing; the file is made, closed to everybody else, if it is not there. */
  #descriptor(): number {
    if (this.#fd !== undefined) return this.#fd
    const flags = O_RDWR | O_NOFOLLOW | (this.#made ? 0 : O_CREAT | O_EXCL)
    this.#fd = openAt(this.#directories.open(this.directory), this.node.name, flags, 0o600)
    this.#made = true
    return this.#fd
  }

  /** Make the file without content. */
  make(): void {
    this.#descriptor()
  }

  /**
   * Take over what an earlier attempt left under this name: a file of its own is kept, so that chunks already in
   * place need no fetching; anything else is removed. Throws `already-exists` for a directory.
   */
  adopt(): void {
    const path = this.#directories.pathOf(this.directory, this.node.name)
    const stat = lstatSync(path, { throwIfNoEntry: false })
    if (stat === undefined) return
    if (stat.isDirectory()) {
      throw new HoldfastError('already-exists', 'the target has a directory where a file belongs')
    }
    // With several names it may be a file elsewhere that somebody linked here: never write into that.
    if (!stat.isFile() || stat.nlink > 1) {
      unlinkSync(path)
      return
    }
    this.#made = true
    this.#fresh = false
    const fd = this.#descriptor()
    if (stat.size !== this.size) ftruncateSync(fd, this.size)
    this.#reached = this.size
  }

  /** Whether an earlier attempt left a file whose chunks are worth a look. */
  get adopted(): boolean {
    return !this.#fresh
  }

  /** Whether a chunk is in place, read back from the file. */
  holds(chunk: Chunk): boolean {
    const fd = this.#descriptor()
    if (chunk.id === zeroChunk.id && isHoleIn(fd, chunk)) return true
    return idOf(readRange(fd, chunk)) === chunk.id
  }

  /** Whether a chunk needs no writing because the file, just made, reads as zeros there. */
  isHole(chunk: Chunk): boolean {
    return this.#fresh && chunk.id === zeroChunk.id && chunk.length === zeroChunk.length
  }

  /**
   * Put bytes in place at `offset`; long runs of zeros become holes. Where it answers nothing, they are there;
   * else once the promise resolves, until when `bytes` must not change.
   */
  write(offset: number, bytes: Buffer): Promise<void> | undefined {
    const fd = this.#descriptor()
    const runs = writtenRuns(bytes, offset)
    if (!this.#fresh) {
      for (const hole of holesBetween(runs, bytes.length)) clear(fd, offset, bytes, hole)
    }
    this.#reached = Math.max(this.#reached, offset + (runs.at(-1)?.end ?? 0))
    if (runs.every(isSmall)) {
      for (const { start, end } of runs) writeAll(fd, bytes.subarray(start, end), offset + start)
      return undefined
    }
    return this.#writeAside(fd, offset, bytes, runs)
  }

  async #writeAside(
    fd: number,
    offset: number,
    bytes: Buffer,
    runs: readonly Run[],
  ): Promise<void> {
    this.#users++
    try {
      for (const { start, end } of runs) {
        await writeAllAside(fd, bytes.subarray(start, end), offset + start)
      }
    } finally {
      this.#users--
    }
  }

  /** All content is in place: give the file its length, which a hole at its end did not. Then it is lent, open. */
  complete(): OpenEntry {
    const fd = this.#descriptor()
    if (this.#reached < this.size) ftruncateSync(fd, this.size)
    return new OpenEntry(fd)
  }

  close(): void {
    if (this.#fd === undefined) return
    closeSync(this.#fd)
    this.#fd = undefined
  }
}

const isSmall = ({ start, end }: Run) => end - start <= SMALL_WRITE

/** Make zeros of what an earlier attempt may have left there. */
function clear(fd: number, offset: number, bytes: Buffer, { start, end }: Run): void {
  if (punchHole(fd, offset + start, end - start)) return
  writeAll(fd, bytes.subarray(start, end), offset + start)
}

/** Whether the file system says that there is nothing but a hole, or nothing at all. */
export function isHoleIn(fd: number, { offset, length }: Omit<Chunk, 'id'>): boolean {
  const data = nextData(fd, offset)
  return data === undefined || data.start >= offset + length
}

function readRange(fd: number, { offset, length }: Chunk): Buffer {
  const bytes = Buffer.allocUnsafeSlow(length)
  let filled = 0
  while (filled < length) {
    const count = readSync(fd, bytes, filled, length - filled, offset + filled)
    if (count === 0) break
    filled += count
  }
  return bytes.subarray(0, filled)
}

function writeAll(fd: number, bytes: Buffer, offset: number): void {
  for (let written = 0; written < bytes.length; ) {
    written += writeSync(fd, bytes, written, bytes.length - written, offset + written)
  }
}

async function writeAllAside(fd: number, bytes: Buffer, offset: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    written += await writeOnce(fd, bytes.subarray(written), offset + written)
  }
}

function writeOnce(fd: number, bytes: Buffer, offset: number): Promise<number> {
  return new Promise((resolve, reject) => {
    write(fd, bytes, 0, bytes.length, offset, (error, count) =>
      error ? reject(error) : resolve(count),
    )
  })
}
