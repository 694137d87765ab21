// What a restore needs and what it answers.

import type { BlobIndex } from '../repository/index.ts'
import type { RepositoryReader } from '../repository/reader.ts'
import type { NamedCounts } from './named-counts.ts'

/**
 * What a restore must tell about an entry. Each is a warning, but `socket` is less and what is damaged is more. The
 * entry itself is there, only `device-refused` ones are not.
 */
export type RestoreRemark =
  | 'owner-refused' // detail: `uid:gid`
  | 'attribute-refused' // detail: the attribute's name
  | 'mode-refused' // detail: the mode in octal
  | 'times-refused'
  | 'device-refused' // detail: the system's code
  | 'content-damaged' // the repository no longer holds all of a file; what there is was restored, unless even its length is lost
  | 'tree-damaged' // nor the listing of a directory, which is there and empty
  | 'size-mismatch' // the snapshot's size and content disagree; the content was restored
  | 'socket' // never restored; servers make them anew

export interface RestoreOptions {
  /** Root tree of the snapshot. */
  readonly tree: string
  /** Where the source's root lies in it: its metadata becomes the target's own. */
  readonly path: readonly Buffer[]
  /** An existing directory (not a symlink to one): empty, or left by a restore that was cut short. */
  readonly target: string
  /** Raw paths relative to the source's root, restored with the directories above them; empty = everything. */
  readonly only: readonly Buffer[]
  /** The target may hold what an earlier attempt of the same restore left. Content there is believed only after hashing it. */
  readonly resume: boolean
  readonly reader: Pick<RepositoryReader, 'loadTree' | 'readSpan'>
  readonly index: Pick<BlobIndex, 'find'>
  /** Added to the snapshot's ids to get the host's; 0 without a user namespace. */
  readonly idShift: number
  /** Read everything back from the disk once it is durable. */
  readonly verify?: boolean
  /** Called after each piece of content, so it must be quick. The object is the same each time. */
  readonly onProgress: (progress: Readonly<RestoreProgress>) => void
  readonly signal: AbortSignal
}

/** How much a restore comprises. */
export interface RestoreExtent {
  files: number
  directories: number
  /** Symlinks, fifos and devices. */
  others: number
  /** Bytes of file content. */
  bytes: number
}

export interface RestoreProgress extends RestoreExtent {
  /** Bytes read back. */
  verified: number
  total: RestoreExtent
}

export interface Restored {
  readonly extent: RestoreExtent
  /** Bytes fetched from the repository: less than restored where files share content or were there already. */
  readonly bytesFetched: number
  readonly remarks: NamedCounts<RestoreRemark>
  /** Files and directories that the repository no longer holds whole: not 0 means that the restore has failed. */
  readonly damaged: number
  /** Whether the outcome must be a warning. */
  readonly warned: boolean
}
