// Jobs while they run: attempts, leases, ends. How they are asked for and listed is another store's.
import type {
  JobCounts,
  JobKind,
  JobParameters,
  JobState,
  Progress,
} from '../../../shared/backup/job.ts'
import type { Outcome, Reason } from '../../../shared/backup/outcome.ts'
import type { Instant } from '../../../shared/clock.ts'
import type { Trace } from './trace.ts'

export interface RunningJob {
  readonly id: string
  readonly kind: JobKind
  /** The host that carries it out; the repository may be another's. */
  readonly host: string
  readonly repository: string
  /** `volume:<name>` or `directory:<path>`. */
  readonly source: string | null
  readonly policy: string | null
  readonly policyName: string | null
  readonly state: JobState
  readonly attempt: number
  readonly fence: number
  readonly batch: string | null
  readonly leaseUntil: Instant | null
  readonly notBefore: Instant
  readonly cancelAt: Instant | null
  readonly parameters: JobParameters
  readonly outcome: Outcome | null
  readonly reason: Reason | null
  readonly message: string | null
  /** The snapshot it made. */
  readonly snapshot: string | null
  readonly createdAt: Instant
}

/** Which attempt of which job: the guard of every change below. */
export interface Attempt {
  readonly job: string
  readonly attempt: number
  readonly fence: number
}

export interface End {
  readonly outcome: Outcome
  readonly reason: Reason
  readonly message: string | null
  readonly counts: JobCounts | null
  /** age ciphertext in base64. */
  readonly report: string | null
  readonly at: Instant
}

export interface RunningJobsStore {
  find(id: string): Promise<RunningJob | undefined>
  /**
   * Extends the lease of each attempt that still runs on `host` in `batch`, whether or not it had lapsed,
   * and notes that the batch arrived. Liveness: leaves no event. Resolves to those that run.
   */
  extend(
    host: string,
    batch: string,
    attempts: readonly (Attempt & { readonly progress: Progress | undefined })[],
    until: Instant,
    now: Instant,
  ): Promise<{ job: string; cancelled: boolean }[]>
  /** Running jobs whose lease and whose batch's upload URLs were over at `now`, oldest first. */
  lapsed(now: Instant, limit: number): Promise<RunningJob[]>
  /**
   * Ends a running attempt, and its batch when nothing else runs in it. False when it runs no more, or
   * while its commit is being written. With `lapsedAt` also false when the lease was given again meanwhile.
   */
  finish(attempt: Attempt, end: End, trace: Trace, lapsedAt?: Instant): Promise<boolean>
  /**
   * Puts a running attempt back in the queue; guards as `finish`. Also false when a newer run of the same
   * policy and source is waiting already.
   */
  requeue(
    attempt: Attempt,
    when: { readonly at: Instant; readonly notBefore: Instant },
    trace: Trace,
    lapsedAt?: Instant,
  ): Promise<boolean>
  /** Ends a job that never started. False when it is not waiting any more. */
  finishQueued(job: string, end: End, trace: Trace): Promise<boolean>
  /** Is a later run of the same policy and source waiting? */
  superseded(job: string): Promise<boolean>
  /** Waiting jobs on a repository, but not of kind init. */
  waiting(repository: string): Promise<RunningJob[]>
}
