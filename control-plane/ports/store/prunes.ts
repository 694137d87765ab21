// When prunes are due, and the jobs that come of it.
import type { Instant } from '../../../shared/clock.ts'
import type { NewJob } from './job-requests.ts'
import type { Trace } from './trace.ts'

export interface PruneDue {
  readonly repository: string
  readonly host: string
  readonly vault: string
  /** The slot that has come. */
  readonly slot: Instant
  /** Is there anything to do? */
  readonly needed: boolean
}

export interface PrunesStore {
  /** Ready repositories that have no slot yet. */
  unscheduled(limit: number): Promise<string[]>
  /** Moves the slot. False when it was another already. */
  setSlot(repository: string, from: Instant | null, to: Instant): Promise<boolean>
  /** Repositories whose slot has come, with whether a prune would find something. */
  due(now: Instant, limit: number): Promise<PruneDue[]>
  /** False when a prune of the repository waits or runs already, or its agent knows nothing of prunes. */
  queue(job: NewJob, trace: Trace): Promise<boolean>
  /** The version of the conversation the agent of a host spoke last. */
  protocol(host: string): Promise<number | undefined>
}
