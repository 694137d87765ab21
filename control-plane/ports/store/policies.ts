// Policies, and the clockwork column that says when each is due.
import type { Instant } from '../../../shared/clock.ts'
import type { PolicyDocument } from '../../../shared/policy/document.ts'
import type { FinishedJob, NewJob } from './job-requests.ts'
import type { Trace } from './trace.ts'

export interface Policy {
  readonly id: string
  readonly name: string
  readonly document: PolicyDocument
  /** Rises by one with every change of the document. */
  readonly version: number
  readonly createdAt: Instant
  readonly updatedAt: Instant
  /** The next slot to be enqueued; null without a schedule. */
  readonly nextAt: Instant | null
}

/** One due policy's step forward: everything in it happens, or nothing. */
export interface Advance {
  readonly policy: string
  readonly version: number
  readonly from: Instant
  /** Null when the schedule never fires again. */
  readonly to: Instant | null
  /** Queued jobs of earlier slots that end as missed; all must still be queued and never tried. */
  readonly expired: readonly FinishedJob[]
  /** Slots that were never run, as finished jobs. */
  readonly missed: readonly (NewJob & FinishedJob)[]
  /** The runs of the newest slot. */
  readonly queued: readonly NewJob[]
}

/** A queued, never tried run of a policy. */
export interface PendingJob {
  readonly id: string
  readonly host: string
  readonly source: string
  /** Null when a person asked for it. */
  readonly slotAt: Instant | null
}

export interface PoliciesStore {
  /** Live policies by name. */
  list(): Promise<Policy[]>
  find(name: string): Promise<Policy | undefined>
  /** A new policy, or one whose name was deleted before. False when the name is taken. */
  insert(policy: Policy, trace: Trace): Promise<boolean>
  /** False when the version is another. */
  replace(policy: Policy, expectedVersion: number, trace: Trace): Promise<boolean>
  /** Also ends its waiting scheduled runs as cancelled. False when the version is another. */
  remove(policy: Policy, at: Instant, trace: Trace): Promise<boolean>
  /** Live policies whose next slot is at or before `now`, earliest first. */
  due(now: Instant, limit: number): Promise<Policy[]>
  pending(policy: string): Promise<PendingJob[]>
  /** False when another process was faster, or a job started meanwhile: look again. */
  advance(step: Advance, trace: Trace): Promise<boolean>
}
