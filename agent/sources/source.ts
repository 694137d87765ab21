// What a backup can read: a tree of entries with their metadata, and the bytes of its files.

import type { BigIntStats } from 'node:fs'
import type { Glance, Sighting } from '../native/glance.ts'
import type { Xattr } from '../native/xattrs.ts'

/** Something that can be backed up. */
export interface Source {
  /** Its place in the snapshot, one component each: `volumes`, `pgdata`. Never empty. */
  readonly path: readonly Buffer[]

  /** Open its root. Throws a system error if it is missing or not a directory. */
  open(): SourceDirectory
}

/** Extended attributes, or why they could not be read: the system's code. */
export type Attributes = { readonly xattrs: readonly Xattr[] } | { readonly code: string }

/** An open directory. Holds one descriptor until `close`. */
export interface SourceDirectory {
  /** The directory's own metadata, taken from what is open. */
  readonly stat: BigIntStats
  readonly attributes: Attributes

  /**
   * Its entries, sorted by the bytes of their names, looked at some dozens ahead: an entry may have changed
   * when it is opened. The call itself lists the names and throws a system error if that fails; iterating
   * does not throw.
   */
  entries(): Iterable<SourceEntry>

  /**
   * As `entries`, without those that `passes` lets pass: how an unchanged directory is walked. It is asked once for each
   * name, in order. After some dozens `passed` says how many have passed since, so that other work gets its turn.
   */
  entries(passes: Passes): Iterable<SourceEntry | Passed>

  /** The same, for counting: nobody's attributes are read, and regular files that have some are shown too. */
  outline(passes: Passes): Iterable<SourceEntry | Passed>

  /** Open a regular file that is exactly as it was seen; undefined for any other, and for one that cannot be opened. */
  openSeen(name: string, seen: Sighting): SeenFile | undefined

  /** What the name belongs to now. */
  look(name: Buffer): SourceEntry

  /** May be called more than once. What was opened from it lives on; entries of it can be opened no more. */
  close(): void
}

/** An open regular file, to be read in one go. Holds one descriptor until `close`. */
export interface SeenFile {
  /** Fill `into` from the file's beginning; how many bytes there were. */
  readInto(into: Buffer): number
  /** Whether it still is exactly as it was seen. */
  isAsSeen(): boolean
  close(): void
}

/**
 * Whether an entry needs no description. `name` has one character per byte; `glance` shows a regular file without
 * attributes and is undefined for whatever is anything else. It is lent for the length of the call.
 */
export type Passes = (name: string, glance: Glance | undefined) => boolean

export interface Passed {
  readonly kind: 'passed'
  readonly count: number
}

interface Described {
  /** One path component: any bytes but `/` and NUL. */
  readonly name: Buffer
  readonly stat: BigIntStats
  readonly attributes: Attributes
}

export type SourceEntry =
  | (Described & { readonly kind: 'file'; open(): SourceFile })
  | (Described & {
      readonly kind: 'dir'
      open(): SourceDirectory
      /** Set on a mount point of another file system; `left-out` ones must be stored as empty. */
      readonly mount?: 'entered' | 'left-out'
    })
  | (Described & { readonly kind: 'symlink'; readonly target: Buffer })
  | (Described & { readonly kind: 'fifo' | 'dev' | 'chardev' | 'socket' })
  /** It was listed, and gone when it was looked at. */
  | { readonly kind: 'vanished'; readonly name: Buffer }
  /** It is there and cannot be looked at; `code` is the system's. */
  | { readonly kind: 'unreadable'; readonly name: Buffer; readonly code: string }

/** An open regular file. Holds one descriptor until `close`. */
export interface SourceFile {
  /** As it was when opened: what the snapshot records, whatever happens afterwards. */
  readonly stat: BigIntStats

  /**
   * Its bytes from the start up to the size it had when opened, fewer if it shrank. A chunk is lent
   * until the next one is asked for, or until `close`. Holes come as zeros without being read. A small file
   * comes as an array, read at once; then a failure to read is thrown by this call.
   */
  content(): AsyncIterable<Uint8Array> | readonly Uint8Array[]

  /** Fill `into` from the file's beginning, in one go; how many bytes there were. For small files. */
  readInto(into: Buffer): number

  /** The same file's metadata as it is now. */
  now(): BigIntStats

  close(): void
}
