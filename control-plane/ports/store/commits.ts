// Commits of snapshots: claimed, checked, written, accepted. Only an accepted one made a snapshot.
import type { Outcome } from '../../../shared/backup/outcome.ts'
import type { Receipt } from '../../../shared/backup/receipt.ts'
import type { Instant } from '../../../shared/clock.ts'
import type { ErrorCode } from '../../../shared/errors.ts'
import type { Trace } from './trace.ts'

export interface Commit {
  readonly job: string
  readonly attempt: number
  readonly fence: number
  readonly batch: string
  readonly repository: string
  readonly state: 'checking' | 'writing' | 'accepted' | 'refused'
  readonly code: ErrorCode | null
  readonly message: string | null
  readonly snapshot: string
  readonly bodySha256: string
  /** Null once accepted or refused. */
  readonly receipt: Receipt | null
  readonly signature: string
  /** The sealed snapshot in base64; null once accepted or refused. */
  readonly bytes: string | null
  /** Number of its receipt in the vault, given when writing begins. */
  readonly sequence: number | null
  readonly listingCursor: string | null
  readonly at: Instant
}

export interface CommitsStore {
  find(job: string, attempt: number): Promise<Commit | undefined>
  /**
   * Enters a claim. False when this attempt has one already, unless that one was refused and its body is
   * `replaces`: then the new one takes its place.
   */
  claim(
    commit: Commit & { readonly receiptText: string },
    replaces: string | undefined,
    trace: Trace,
  ): Promise<boolean>
  /** Without effect, like the changes below, when another claim has taken the place of this one. */
  setListingCursor(
    commit: Pick<Commit, 'job' | 'attempt' | 'bodySha256'>,
    cursor: string,
  ): Promise<void>
  /**
   * checking → writing, and the receipt gets its number. False when the attempt is no longer the running
   * one, when the epoch is another, or when the snapshot belongs to another job. From here on nothing else
   * can end the job.
   */
  beginWriting(commit: Commit, epoch: number, trace: Trace): Promise<boolean>
  /** Gives the receipt the next number, because another receipt lies under the present one. */
  renumber(commit: Commit, trace: Trace): Promise<boolean>
  /** writing → accepted, the snapshot enters the catalogue, the job learns of it. */
  accept(
    commit: Commit,
    snapshot: {
      readonly host: string
      readonly source: string
      readonly outcome: Outcome
      readonly policyName: string | null
      readonly receivedAt: Instant
    },
    trace: Trace,
  ): Promise<boolean>
  /** checking (or writing, when the store holds other bytes) → refused. */
  refuse(
    commit: Pick<Commit, 'job' | 'attempt' | 'state' | 'bodySha256'>,
    why: { readonly code: ErrorCode; readonly message: string; readonly at: Instant },
    trace: Trace,
  ): Promise<boolean>
  /** Does another job's commit carry this snapshot? */
  snapshotTaken(snapshot: string, job: string): Promise<boolean>
  /** Commits that are neither accepted nor refused, oldest first. */
  /** One of `packs` that was condemned, if any. */
  condemnedAmong(repository: string, packs: readonly string[]): Promise<string | undefined>
  openIds(limit: number): Promise<{ job: string; attempt: number }[]>
  /** What the counts of a job's accepted snapshot were. */
  acceptedSnapshot(job: string): Promise<{ id: string; counts: Receipt['counts'] } | undefined>
}
