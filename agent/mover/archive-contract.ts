// What an archive needs and what it answers.

import type { Clock } from '../../shared/clock.ts'
import type { Added, SavedFile } from '../repository/writer.ts'
import type { Extent } from '../sources/measure.ts'
import type { Source } from '../sources/source.ts'
import type { NamedCounts } from './named-counts.ts'
import type { Perspective } from './tree-node.ts'

/**
 * What a backup must tell about an entry. Warnings: `unreadable` and `changed` files, `attributes-unreadable`.
 * The others are notes: what `grew` was saved as it was at one moment; `volatile` was expected to change.
 */
export type ArchiveRemark =
  | 'unreadable' // not in the snapshot; detail: the system's code
  | 'changed' // in the snapshot, but written to during each of three reads
  | 'attributes-unreadable' // in the snapshot without its extended attributes; detail: the system's code
  | 'grew' // appended to while read; its beginning is whole
  | 'volatile' // changed while read, as the policy says it may
  | 'vanished' // gone before it could be read
  | 'socket' // never kept
  | 'other-file-system' // a mount point whose content is in the snapshot too
  | 'left-out-mount' // a mount point of proc, tmpfs and the like, kept as an empty directory

/** Remarks that make the outcome a warning. */
export const archiveWarnings: ReadonlySet<ArchiveRemark> = new Set([
  'unreadable',
  'changed',
  'attributes-unreadable',
])

/** The part of the repository's writer that an archive needs; calls overlap. */
export interface ArchiveWriter {
  saveFile(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<SavedFile>
  /** `text` is a tree as `encodeTree` writes it; lent until the promise settles. */
  saveBlob(type: 'tree', text: Buffer): Promise<{ id: string; added: Added }>
  knows(type: 'data' | 'tree', id: string): boolean
}

export interface ArchiveOptions extends Perspective {
  readonly source: Source
  readonly writer: ArchiveWriter
  /** Root tree of the snapshot to compare with; undefined reads every file. */
  readonly parentTree?: string
  /** The bytes of a tree of the parent, or undefined where they cannot be had: its files are then read. */
  readonly loadTree: (id: string) => Buffer | undefined | Promise<Buffer | undefined>
  /** Whether a file may change while it is read; the path is relative to the source's root. */
  readonly isVolatile: (path: Buffer) => boolean
  /** About how much there is, from the parent's summary; measured meanwhile if undefined. */
  readonly expected?: Extent
  /** Called after each file and each piece of one, so it must be quick. The object is the same each time. */
  readonly onProgress: (progress: Readonly<ArchiveProgress>) => void
  readonly clock: Clock
  readonly signal: AbortSignal
}

export interface ArchiveProgress {
  files: number
  directories: number
  /** Bytes of file content dealt with, read or known. */
  bytes: number
  /** Undefined until it is known. */
  total: Extent | undefined
}

/** Counts as restic's snapshot summary has them. */
export interface ArchiveStatistics {
  filesNew: number
  filesChanged: number
  filesUnmodified: number
  directoriesNew: number
  directoriesChanged: number
  directoriesUnmodified: number
  dataBlobs: number
  treeBlobs: number
  /** Bytes new to the repository, before compression. */
  dataAdded: number
  /** The same as stored. */
  dataAddedPacked: number
  /** Regular files in the snapshot. */
  totalFiles: number
  /** Their bytes. */
  totalBytes: number
}

export interface Archived {
  /** Id of the root tree, which holds the source under its `path`. */
  readonly tree: string
  readonly statistics: ArchiveStatistics
  readonly remarks: NamedCounts<ArchiveRemark>
  /** Whether the outcome must be a warning. */
  readonly warned: boolean
}
