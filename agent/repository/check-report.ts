// What a check found, in words that name objects and never files.
import type { Id } from './id.ts'

/** Everything a check can find, and how bad it is. */
export const problemKinds = {
  'key-damaged': 'error', // a key file's content is not what its name says
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

export interface CheckReport {
  /** True if there is no error; hints do not count. */
  readonly ok: boolean
  /** At most `problemLimit`; `errors` and `hints` count them all. */
  readonly problems: readonly Problem[]
  readonly errors: number
  readonly hints: number
  /** Packs that are missing or hold something damaged: what a repair has to replace. */
  readonly damagedPacks: readonly Id[]
  readonly snapshots: number
  /** Different trees that snapshots reach. */
  readonly trees: number
  readonly packs: number
  /** Packs read whole and the bytes in them. */
  readonly packsRead: number
  readonly bytesRead: number
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
