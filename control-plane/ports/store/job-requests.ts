// Jobs as people see them: asked for, listed, watched, cancelled. How they run is another store's.

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

export interface NewJob {
  readonly id: string
  readonly kind: JobKind
  readonly host: string
  readonly repository: string
  /** `volume:<name>` or `directory:<path>`. */
  readonly source: string | null
  readonly policy: string | null
  readonly policyName: string | null
  readonly slotAt: Instant | null
  readonly parameters: JobParameters
  /** The actor. */
  readonly requestedBy: string
  readonly createdAt: Instant
}

/** How a job ends that never ran. */
export interface FinishedJob {
  readonly id: string
  readonly outcome: Outcome
  readonly reason: Reason
  readonly message: string
  readonly finishedAt: Instant
}

export interface Job extends NewJob {
  readonly hostName: string
  readonly state: JobState
  readonly attempt: number
  readonly batch: string | null
  readonly cancelAt: Instant | null
  readonly progress: Progress | null
  readonly outcome: Outcome | null
  readonly reason: Reason | null
  readonly message: string | null
  readonly counts: JobCounts | null
  /** Is there a sealed report? */
  readonly hasReport: boolean
  /** The snapshot it made. */
  readonly snapshot: string | null
  readonly startedAt: Instant | null
  readonly finishedAt: Instant | null
}

export interface JobFilter {
  readonly host?: string | undefined
  readonly source?: string | undefined
  /** Name of the policy. */
  readonly policy?: string | undefined
  readonly kind?: JobKind | undefined
  readonly state?: JobState | undefined
  readonly outcome?: Outcome | undefined
  /** Asked for at or after, and before. */
  readonly since?: Instant | undefined
  readonly until?: Instant | undefined
  /** Only jobs older than this one. */
  readonly before?: string | undefined
  readonly limit: number
}

export interface JobRequestsStore {
  /**
   * All of them or none. False when the host was removed meanwhile, or when a run of the same policy and
   * source is waiting already.
   */
  add(jobs: readonly [NewJob, ...NewJob[]], trace: Trace): Promise<boolean>
  get(id: string): Promise<Job | undefined>
  /** Newest first. */
  list(filter: JobFilter): Promise<Job[]>
  /** The sealed report in base64, or undefined. */
  report(id: string): Promise<string | undefined>
  page(job: string, page: number): Promise<{ last: boolean; bytes: string } | undefined>
  /** Ends a waiting job. False when it is not waiting any more. */
  cancelQueued(job: FinishedJob, trace: Trace): Promise<boolean>
  /** Marks a running job. False when it does not run, or is marked already. */
  cancelRunning(id: string, at: Instant, trace: Trace): Promise<boolean>
  /** Removes pages that were stored before `before`. */
  forgetPages(before: Instant): Promise<void>
}
