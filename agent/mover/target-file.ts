// One file of a restore's target while its content arrives.

import {
  closeSync,
  constants,
  fchmodSync,
  ftruncateSync,
  lchownSync,
  lstatSync,
  openSync,
  readSync,
  unlinkSync,
  write,
  writeSync,
} from 'node:fs'
import { HoldfastError } from '../../shared/errors.ts'
import { nextData } from '../native/holes.ts'
import { systemErrorCode } from '../native/syscall-error.ts'
import { idOf } from '../repository/id.ts'
import type { TreeNode } from '../repository/tree.ts'
import type { Settable } from './restore-metadata.ts'
import type { TargetDirectories, TargetDirectory } from './target-directory.ts'
import { writtenRuns } from './zero-runs.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants

/** restic's chunk of nothing but zeros: 512 KiB, the least chunk, where the chunker always cuts zeros. */
export const zeroChunk = {
  id: '07854d2fef297a06ba81685e660c332de36d5d18d546927d30daad6d7fda1541',
  length: 512 << 10,
} as const

/** Longer pieces are written on another thread, so that a slow disk holds up nothing else. */
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
  readonly chunks: readonly Chunk[]
  readonly size: number
  /** Chunks that are not in place yet. */
  missing: number
  readonly #directories: TargetDirectories
  /** Bytes never written read as zero: false once an earlier attempt may have written anywhere. */
  #fresh = true
  #made = false
  #fd: number | undefined
  #users = 0

  constructor(
    directories: TargetDirectories,
    directory: TargetDirectory,
    node: TreeNode,
    chunks: readonly Chunk[],
  ) {
    this.#directories = directories
    this.directory = directory
    this.node = node
    this.chunks = chunks
    const last = chunks.at(-1)
    this.size = last ? last.offset + last.length : 0
    this.missing = chunks.length
  }

  get isOpen(): boolean {
    return this.#fd !== undefined
  }

  /** Whether nobody uses its descriptor right now. */
  get idle(): boolean {
    return this.#users === 0
  }

  #path(): Buffer {
    return this.#directories.pathOf(this.directory, this.node.name)
  }

  /** The descriptor for reading and writing; the file is made, closed to everybody else, if it is not there. */
  #descriptor(): number {
    if (this.#fd !== undefined) return this.#fd
    const flags = O_RDWR | O_NOFOLLOW | (this.#made ? 0 : O_CREAT | O_EXCL)
    this.#fd = openSync(this.#path(), flags, 0o600)
    if (!this.#made) {
      this.#made = true
      ftruncateSync(this.#fd, this.size)
    }
    return this.#fd
  }

  /** Make the file with its whole length and no content. */
  make(): void {
    this.#descriptor()
  }

  /**
   * Take over what an earlier attempt left under this name: a file of its own is kept, so that chunks already in
   * place need no fetching; anything else is removed. Throws `already-exists` for a directory.
   */
  adopt(): void {
    const path = this.#path()
    try {
      const stat = lstatSync(path)
      if (stat.isDirectory()) {
        throw new HoldfastError('already-exists', 'the target has a directory where a file belongs')
      }
      // With several names it may be a file elsewhere that somebody linked here: never write into that.
      if (!stat.isFile() || stat.nlink > 1) {
        unlinkSync(path)
      } else {
        this.#made = true
        this.#fresh = false
        ftruncateSync(this.#descriptor(), this.size)
      }
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error
    }
  }

  /** Whether an earlier attempt left a file whose chunks are worth a look. */
  get adopted(): boolean {
    return !this.#fresh
  }

  /** Whether a chunk is in place, read back from the file. */
  holds(chunk: Chunk): boolean {
    const fd = this.#descriptor()
    if (chunk.id === zeroChunk.id) {
      const data = nextData(fd, chunk.offset)
      if (!data || data.start >= chunk.offset + chunk.length) return true
    }
    return idOf(readRange(fd, chunk)) === chunk.id
  }

  /** Whether a chunk needs no writing because the file, just made, reads as zeros there. */
  isHole(chunk: Chunk): boolean {
    return this.#fresh && chunk.id === zeroChunk.id && chunk.length === zeroChunk.length
  }

  /** Put a chunk's bytes in place; long runs of zeros become holes. */
  async write(chunk: Chunk, bytes: Buffer): Promise<void> {
    const fd = this.#descriptor()
    this.#users++
    try {
      const runs = this.#fresh
        ? writtenRuns(bytes, chunk.offset)
        : [{ start: 0, end: bytes.length }]
      for (const { start, end } of runs) {
        await writeAll(fd, bytes.subarray(start, end), chunk.offset + start)
      }
    } finally {
      this.#users--
    }
  }

  /** How metadata is set on it; to be used at once. */
  settable(): Settable {
    const path = this.#path()
    const fd = this.#descriptor()
    return {
      path,
      chown: (uid, gid) => lchownSync(path, uid, gid),
      chmod: (mode) => fchmodSync(fd, mode),
    }
  }

  close(): void {
    if (this.#fd === undefined) return
    closeSync(this.#fd)
    this.#fd = undefined
  }
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

async function writeAll(fd: number, bytes: Buffer, offset: number): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    const left = bytes.length - written
    written +=
      left <= SMALL_WRITE
        ? writeSync(fd, bytes, written, left, offset + written)
        : await writeAside(fd, bytes, written, left, offset + written)
  }
}

function writeAside(fd: number, bytes: Buffer, from: number, length: number, at: number) {
  return new Promise<number>((resolve, reject) => {
    write(fd, bytes, from, length, at, (error, count) => (error ? reject(error) : resolve(count)))
  })
}
