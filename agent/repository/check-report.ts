// What a check found: problems name objects and never files; the files they harm are listed apart.
import type { Id } from './id.ts'
import type { TreeFault } from './tree.ts'

/** Everything a check can find, and how bad it is. */
export const problemKinds = {
  'config-missing': 'error', // there is no config: nobody can open the repository by it
  'config-damaged': 'error', // the config cannot be opened, or is another repository's
  'key-missing': 'error', // the key file that opened the repository is gone, or another that should be there
  'key-damaged': 'error', // a key file is none, or its content is not what its name says
  'key-surplus': 'hint', // more key files than stock restic is willing to try
  'index-damaged': 'error', // an index file cannot be opened: what it lists is unknown
  'pack-missing': 'error', // an index file lists a pack that is not there
  'pack-size': 'error', // a pack is longer or shorter than its blobs make it
  'pack-damaged': 'error', // a pack's content is not what its name says, or its header disagrees with the index
  'pack-split': 'error', // two index files list different blobs of one pack
  'pack-listed-twice': 'hint', // two index files list the same pack whole, as after a merge that was cut short
  'pack-unlisted': 'hint', // a pack in no index file, as after a crash; a prune removes it
  'pack-mixed': 'hint', // data and tree blobs in one pack
  'blob-place': 'error', // an index file leaves a gap or an overlap between a pack's blobs
  'blob-damaged': 'error', // a blob does not open, or its length or hash differs from what is listed
  'snapshot-missing': 'error', // a snapshot that somebody knows of is not there
  'snapshot-damaged': 'error', // a snapshot cannot be opened
  'tree-damaged': 'error', // a tree cannot be read
  'blob-missing': 'error', // a tree or snapshot refers to a blob that no index file lists
  'size-differs': 'error', // a file's size is not the sum of its chunks: it would be restored wrong
  'illegal-name': 'error', // a node's name could leave its directory
  'duplicate-name': 'error', // two nodes of one tree have one name
  unsorted: 'error', // nodes out of order: lookups by path miss some
  'no-content': 'error', // a file without a list of chunks
  'no-subtree': 'error', // a directory without a tree
} as const

export type ProblemKind = keyof typeof problemKinds

export interface Problem {
  readonly kind: ProblemKind
  readonly severity: 'error' | 'hint'
  /** The object or blob it was found in. */
  readonly id: Id
  /** Ids, counts and lengths only. */
  readonly detail: string
}

/** What is wrong with an entry of a snapshot. */
export type HarmKind =
  | 'content-lost' // no whole copy of some of a file's content is left
  | 'directory-lost' // its listing cannot be read: what lay below is unknown
  | 'size-differs'
  | TreeFault

/** An entry that cannot be restored as it was. */
export interface HarmedEntry {
  readonly what: HarmKind
  /** Raw bytes from the snapshot's root, names joined by `/`: for whoever may read the repository. */
  readonly path: Buffer
  /** The snapshots that hold it so. */
  readonly snapshots: readonly Id[]
}

export interface Harm {
  /** Harmed entries, those of each snapshot counted for themselves. */
  readonly entries: number
  /** Snapshots with such an entry. */
  readonly snapshots: number
  /** The first of them by path, no more than asked for. */
  readonly named: readonly HarmedEntry[]
}

export const noHarm: Harm = { entries: 0, snapshots: 0, named: [] }

export interface CheckReport {
  /** True if there is no error; hints do not count. */
  readonly ok: boolean
  /** At most `problemLimit`; `errors` and `hints` count them all. */
  readonly problems: readonly Problem[]
  readonly errors: number
  readonly hints: number
  /** Packs that are missing or hold something damaged: what a repair has to replace. */
  readonly damagedPacks: readonly Id[]
  /** What the problems mean for those who want their files back. */
  readonly harm: Harm
  readonly snapshots: number
  /** Different trees that snapshots reach. */
  readonly trees: number
  readonly packs: number
  /** Packs read whole and the bytes in them. */
  readonly packsRead: number
  readonly bytesRead: number
  /** The snapshot whose data was read, where one was to be. */
  readonly snapshotRead?: Id
  /** Blobs that the index files list, and the memory they took, in bytes. */
  readonly blobs: number
  readonly indexBytes: number
}

/** A ruined repository yields a problem per file; nobody reads more than this many, and memory is finite. */
export const problemLimit = 1000

/** Collects problems while a check runs. */
export class ProblemList {
  readonly problems: Problem[] = []
  readonly damagedPacks = new Set<Id>()
  errors = 0
  hints = 0

  add(kind: ProblemKind, id: Id, detail = ''): void {
    const severity = problemKinds[kind]
    if (severity === 'error') this.errors++
    else this.hints++
    if (this.problems.length < problemLimit) this.problems.push({ kind, severity, id, detail })
  }
}
