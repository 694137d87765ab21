// Batches: the jobs one mover carries out together, from the choice of jobs to the end of the last.
import type { JobKind, JobParameters } from '../../../shared/backup/job.ts'
import type { Instant } from '../../../shared/clock.ts'
import type { PolicyDocument } from '../../../shared/policy/document.ts'
import type { RunningJob } from './running-jobs.ts'
import type { Trace } from './trace.ts'

export interface Batch {
  readonly id: string
  readonly host: string
  readonly repository: string
  readonly kind: JobKind
  readonly createdAt: Instant
  readonly acceptedAt: Instant | null
  readonly endedAt: Instant | null
  readonly urlsUntil: Instant
}

export interface NewBatch {
  readonly id: string
  readonly host: string
  readonly repository: string
  readonly kind: JobKind
  readonly at: Instant
  readonly leaseUntil: Instant
  /** Parameters as this attempt gets them. */
  readonly jobs: readonly { readonly id: string; readonly parameters: JobParameters }[]
}

export interface GovernedBatch {
  readonly batch: string
  readonly host: string
  readonly documents: readonly PolicyDocument[]
}

export interface BatchesStore {
  find(id: string): Promise<Batch | undefined>
  /** Batches of a host that have not ended and that its agent has not asked a lease for. */
  unaccepted(host: string): Promise<Batch[]>
  /** Gives the jobs of an unaccepted batch a fresh lease. False when it was accepted or ended meanwhile. */
  offerAgain(batch: string, leaseUntil: Instant): Promise<boolean>
  /** Batches on a repository that have not ended, of any host. */
  open(repository: string): Promise<Batch[]>
  /** Running jobs of a batch, oldest first. */
  jobs(batch: string): Promise<RunningJob[]>
  /** Waiting jobs of a host that may start at `now`, oldest first. */
  queued(host: string, now: Instant, limit: number): Promise<RunningJob[]>
  /** Sources of a repository with a backup under way. */
  busySources(repository: string): Promise<string[]>
  /** Hosts with waiting jobs that may start at `now`, or with batches not accepted yet. */
  hostsWithWork(now: Instant): Promise<string[]>
  /**
   * Starts the jobs: attempt and fence rise, the lease begins. All or none; false when one of them is not
   * waiting any more, or when the repository has two open batches, or one of this kind for this host. A prune
   * starts only where no other batch is open, on an agent that speaks of prunes, and nothing starts beside it.
   */
  start(batch: NewBatch, trace: Trace): Promise<boolean>
  /** Asks for a repository to be made. False when such a job is waiting or running. */
  queueInit(
    job: { id: string; host: string; repository: string; at: Instant },
    trace: Trace,
  ): Promise<boolean>
  /**
   * Batches that have not ended, each with the documents of the live policies whose jobs run in it: one batch, those
   * with a running job of a policy, or those a host has accepted. Only of hosts whose agents know limits.
   */
  governed(
    of: { readonly batch: string } | { readonly policy: string } | { readonly host: string },
  ): Promise<GovernedBatch[]>
  /** The newest accepted snapshot of a source, to compare with. */
  newestSnapshot(repository: string, source: string): Promise<string | undefined>
}
