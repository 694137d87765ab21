// A quick look at an entry: statx(2) into words that are used again and again, so that nothing is made for the collector.

import { constants } from 'node:fs'
import { endianness } from 'node:os'
import { bindIfPresent } from './libc.ts'

/** `AT_SYMLINK_NOFOLLOW` and `AT_EMPTY_PATH` of <fcntl.h>, the same on every Linux. */
const NO_FOLLOW = 0x100
const EMPTY_PATH = 0x1000
/** `STATX_BASIC_STATS` of <linux/stat.h>: all that `struct stat` has. */
const BASIC_STATS = 0x7ff
/** The longest name an entry can have is 255 bytes, on some network file systems some more; and the closing NUL. */
const LONGEST_NAME = 1_024

/** In glibc since 2.28, in musl since 1.2.5. Its words are read as little-endian machines lay them. */
const statx =
  endianness() === 'LE'
    ? bindIfPresent('statx', 'int', ['int', 'void *', 'int', 'uint32_t', 'void *'])
    : undefined

// struct statx: words of 32 bits.
const wordLinks = 4
const wordUid = 5
const wordGid = 6
const wordMode = 7
const wordInode = 8
const wordSize = 10
const wordChanged = 24
const wordModified = 28
const wordDevice = 34
/** Its 256 bytes. */
const words = 64

/** What a glance showed, kept. Numbers as in `Glance`. */
export interface Sighting {
  readonly mode: number
  readonly links: number
  readonly uid: number
  readonly gid: number
  readonly inodeHigh: number
  readonly inodeLow: number
  readonly size: number
  readonly modifiedSeconds: number
  readonly modifiedNanoseconds: number
  readonly changedSeconds: number
  readonly changedNanoseconds: number
  readonly deviceMajor: number
  readonly deviceMinor: number
}

/** Metadata of the entry that was last looked at. Whole numbers; no bigint unless it is asked for. */
export class Glance {
  readonly #bytes = Buffer.alloc(words * 4)
  readonly #words = new Uint32Array(this.#bytes.buffer, this.#bytes.byteOffset, words)
  readonly #path = Buffer.alloc(LONGEST_NAME)

  /**
   * Look at `name` (one character per byte) in the directory open as `directory`; never follows a symlink.
   * False if it cannot be looked at this way, where this C library has no statx too: a slower look says why.
   */
  at(directory: number, name: string): boolean {
    const path = this.#path
    const { length } = name
    if (statx === undefined || length >= LONGEST_NAME) return false
    for (let i = 0; i < length; i++) path[i] = name.charCodeAt(i)
    path[length] = 0
    return statx(directory, path, NO_FOLLOW, BASIC_STATS, this.#bytes) === 0
  }

  /** Look at what is open as `fd`; false if that cannot be done this way. */
  of(fd: number): boolean {
    if (statx === undefined) return false
    this.#path[0] = 0
    return statx(fd, this.#path, EMPTY_PATH, BASIC_STATS, this.#bytes) === 0
  }

  /** What is seen now, to be compared with what another look shows. */
  sighting(): Sighting {
    return {
      mode: this.mode,
      links: this.links,
      uid: this.uid,
      gid: this.gid,
      inodeHigh: this.inodeHigh,
      inodeLow: this.inodeLow,
      size: this.size,
      modifiedSeconds: this.modifiedSeconds,
      modifiedNanoseconds: this.modifiedNanoseconds,
      changedSeconds: this.changedSeconds,
      changedNanoseconds: this.changedNanoseconds,
      deviceMajor: this.#words[wordDevice]!,
      deviceMinor: this.#words[wordDevice + 1]!,
    }
  }

  /** Whether the same file is seen, and nothing about it changed. */
  shows(seen: Sighting): boolean {
    return (
      this.inodeLow === seen.inodeLow &&
      this.inodeHigh === seen.inodeHigh &&
      this.#words[wordDevice] === seen.deviceMajor &&
      this.#words[wordDevice + 1] === seen.deviceMinor &&
      this.size === seen.size &&
      this.modifiedSeconds === seen.modifiedSeconds &&
      this.modifiedNanoseconds === seen.modifiedNanoseconds &&
      this.changedSeconds === seen.changedSeconds &&
      this.changedNanoseconds === seen.changedNanoseconds &&
      this.mode === seen.mode &&
      this.links === seen.links &&
      this.uid === seen.uid &&
      this.gid === seen.gid
    )
  }

  /** The name last looked at, ended by a NUL: for further calls on the same entry. Lent until the next look. */
  get path(): Buffer {
    return this.#path
  }

  /** `st_mode`. */
  get mode(): number {
    return this.#words[wordMode]! & 0xffff
  }

  get isFile(): boolean {
    return (this.mode & constants.S_IFMT) === constants.S_IFREG
  }

  get links(): number {
    return this.#words[wordLinks]!
  }

  get uid(): number {
    return this.#words[wordUid]!
  }

  get gid(): number {
    return this.#words[wordGid]!
  }

  /** The inode's number is `inodeHigh` · 2³² + `inodeLow`: it may be longer than a double holds. */
  get inodeHigh(): number {
    return this.#words[wordInode + 1]!
  }

  get inodeLow(): number {
    return this.#words[wordInode]!
  }

  /** Bytes; exact, because no file is longer than 2⁵³. */
  get size(): number {
    return this.#words[wordSize]! + this.#words[wordSize + 1]! * 0x1_0000_0000
  }

  /** Whole seconds since 1970, negative before. */
  get modifiedSeconds(): number {
    return this.#words[wordModified]! + (this.#words[wordModified + 1]! | 0) * 0x1_0000_0000
  }

  /** The rest of it: 0 to 999,999,999. */
  get modifiedNanoseconds(): number {
    return this.#words[wordModified + 2]!
  }

  get changedSeconds(): number {
    return this.#words[wordChanged]! + (this.#words[wordChanged + 1]! | 0) * 0x1_0000_0000
  }

  get changedNanoseconds(): number {
    return this.#words[wordChanged + 2]!
  }
}
