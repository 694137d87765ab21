// Prunes as the control plane keeps them: what was proposed, how far a retirement is, which packs are condemned.
import type { Retirement } from '../../../shared/backup/retirement.ts'
import type { Instant } from '../../../shared/clock.ts'
import type { ErrorCode } from '../../../shared/errors.ts'
import type { Attempt } from './running-jobs.ts'
import type { Trace } from './trace.ts'

export interface Proposal {
  readonly job: string
  readonly attempt: number
  readonly unreferencedBytes: number
  readonly repackBytes: number
  readonly packs: number
  /** Bytes of all packs by the catalogue's own numbers. */
  readonly ownBytes: number
  readonly decision: 'go' | 'wait'
  readonly at: Instant
}

export interface RetirementRow {
  readonly job: string
  readonly attempt: number
  readonly fence: number
  readonly batch: string
  readonly repository: string
  readonly state: 'checking' | 'removing' | 'accepted' | 'refused'
  /** How many of the replaced index files were removed from the bucket. */
  readonly removed: number
  readonly code: ErrorCode | null
  readonly message: string | null
  readonly bodySha256: string
  /** Null once it is accepted or refused. */
  readonly retirement: Retirement | null
  readonly signature: string
  readonly at: Instant
  readonly endedAt: Instant | null
}

export interface CondemnedPack {
  readonly id: string
  readonly bytes: number
  readonly state: 'condemned' | 'deleting' | 'deleted'
  readonly heirs: readonly string[]
}

/** A condemned pack that may be deleted now. */
export interface DuePack {
  readonly repository: string
  readonly host: string
  readonly vault: string
  readonly id: string
  readonly bytes: number
  readonly state: 'condemned' | 'deleting'
}

export interface RetirementsStore {
  /** Bytes of the packs the catalogue knows. */
  packBytes(repository: string): Promise<number>
  /** Notes a proposal. The same attempt's later one takes its place. False when the attempt runs no more. */
  propose(attempt: Attempt, proposal: Proposal, trace: Trace): Promise<boolean>
  proposal(job: string, attempt: number): Promise<Proposal | undefined>
  /** The newest proposal of a job, whatever its attempt. */
  lastProposal(job: string): Promise<Proposal | undefined>
  find(job: string, attempt: number): Promise<RetirementRow | undefined>
  /** False when the attempt has one already. */
  claim(retirement: RetirementRow & { readonly text: string }, trace: Trace): Promise<boolean>
  /** Retirements that are neither accepted nor refused, oldest first. */
  openIds(limit: number): Promise<{ job: string; attempt: number }[]>
  /**
   * checking → removing: from here on only acceptance can follow. False when the attempt runs no more, or the
   * repository's epoch is another.
   */
  beginRemoving(retirement: RetirementRow, epoch: number, trace: Trace): Promise<boolean>
  setRemoved(job: string, attempt: number, removed: number): Promise<void>
  /**
   * removing → accepted, all at once: packs condemned, earlier ones confirmed, those not confirmed spared, the
   * replaced index files forgotten, the epoch raised.
   */
  accept(
    retirement: RetirementRow & { readonly retirement: Retirement },
    /** Leftovers of broken runs that are condemned too. */
    unindexed: readonly { readonly id: string; readonly bytes: number }[],
    at: Instant,
    trace: Trace,
  ): Promise<boolean>
  refuse(
    retirement: RetirementRow,
    why: { readonly code: ErrorCode; readonly message: string; readonly at: Instant },
    trace: Trace,
  ): Promise<boolean>
  /** Packs condemned and not spared since, deleted ones too. */
  condemned(repository: string): Promise<Map<string, CondemnedPack>>
  /** Those that wait for their deletion, by id, after `after`. */
  condemnedPage(
    repository: string,
    after: string,
    limit: number,
  ): Promise<{ id: string; bytes: number }[]>
  /** Packs of these that a running or waiting job stored. */
  ofOpenJobs(repository: string, packs: readonly string[]): Promise<Set<string>>
  /**
   * Packs to be deleted at `now`: condemned for as long as their vault's floor says, and confirmed after `since`;
   * those whose deletion began come first.
   */
  due(now: Instant, since: Instant, limit: number): Promise<DuePack[]>
  /** condemned → deleting. */
  beginDeleting(repository: string, packs: readonly string[], trace: Trace): Promise<void>
  /** deleting → deleted, and out of the catalogue of objects. */
  deleted(repository: string, packs: readonly string[], at: Instant, trace: Trace): Promise<boolean>
  /**
   * A pack of `packs` that a snapshot which is there needs for certain, by its receipt: the receipt names it, and it
   * was stored before that snapshot's run began, so the run found content in it. Undefined if there is none.
   */
  neededFor(
    repository: string,
    packs: readonly string[],
  ): Promise<{ readonly snapshot: string; readonly pack: string } | undefined>
  /** What the receipts of these snapshots say they refer to; `packs` is null where there is no receipt. */
  refers(
    repository: string,
    snapshots: readonly string[],
  ): Promise<{ id: string; base: string | null; packs: readonly string[] | null }[]>
}
