// Signed URLs that are out, and what the catalogue knows of packs and index files.
import type { Instant } from '../../../shared/clock.ts'
import type { Trace } from './trace.ts'

export interface PutGrant {
  readonly id: string
  readonly what: 'pack' | 'index'
  readonly type: 'data' | 'tree' | null
  readonly bytes: number
}

export interface KnownObject {
  readonly id: string
  readonly what: 'pack' | 'index'
  readonly type: 'data' | 'tree' | null
  readonly bytes: number
}

/** An object that was seen in the store, or is said to be there. */
export interface StoredObject extends KnownObject {
  readonly job: string
}

export interface GrantsStore {
  /**
   * Grants of the batch are used up, their objects stored: the catalogue learns of them, unchecked.
   * The agent's word, so it leaves no event; the commit's claim check decides.
   */
  release(batch: string, repository: string, objects: readonly string[], at: Instant): Promise<void>
  /**
   * Notes grants before they are signed. One guarded statement counts: false when the batch has ended, or
   * would have more than `maxCount` outstanding PUT grants or more than `maxBytes` of them (one grant alone
   * may be larger). A grant for an object that has one replaces it.
   */
  reserve(
    wanted: {
      readonly batch: string
      readonly job: string
      readonly attempt: number
      readonly puts: readonly PutGrant[]
      readonly until: Instant
      readonly now: Instant
      readonly maxCount: number
      readonly maxBytes: number
    },
    trace: Trace,
  ): Promise<boolean>
  /** Those of `ids` the catalogue knows. */
  known(repository: string, ids: readonly string[]): Promise<KnownObject[]>
  /** These were seen in the store at `at`. */
  checked(repository: string, objects: readonly StoredObject[], at: Instant): Promise<void>
  /** Ids seen in the store at or after `since`, with the size seen. */
  checkedSince(repository: string, since: Instant): Promise<Map<string, number>>
  /** Forgets grants of ended batches whose URLs are over. */
  forget(now: Instant): Promise<void>
}
