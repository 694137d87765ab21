// What all jobs of a batch share: who they are, what they may ask, and how they tell how far they are.
import type { Clock, Random } from '../../shared/clock.ts'
import type { AssignedJob } from '../../shared/protocol/from-control.ts'
import type { FromMover, PreparedJob, Start } from '../ipc/messages.ts'
import type { Random as Bytes } from '../repository/id.ts'
import type { PresignedStore } from '../storage/presigned.ts'
import type { LiveLimits } from './live-limits.ts'
import type { AttemptOf, Plane } from './plane.ts'
import type { Reporter } from './reporter.ts'
import type { SmallCache } from './small-cache.ts'

export type LogFields = Extract<FromMover, { type: 'log' }>['fields']
/** A line for the supervisor's log: a constant sentence, fields without names and secrets. */
export type MoverLog = (
  level: 'info' | 'warn' | 'error',
  message: string,
  fields?: LogFields,
) => void

/** One job of the batch. */
export interface Job {
  readonly assigned: AssignedJob
  readonly prepared: PreparedJob
  readonly attempt: AttemptOf
  /** Fires when the job is cancelled or the whole batch ends. */
  readonly signal: AbortSignal
  /** By the monotonic clock, in milliseconds. */
  readonly begunAt: () => number
}

/** A job whose parameters are of one kind. */
export type JobOf<K extends AssignedJob['parameters']['kind']> = Job & {
  readonly assigned: { readonly parameters: Extract<AssignedJob['parameters'], { kind: K }> }
}

export interface Batch {
  readonly start: Start
  readonly plane: Plane
  /** What it may use of the host; changes while it runs. */
  readonly limits: LiveLimits
  /** Packs and index files. Its wishes are spoken for by `speaker`. */
  readonly store: PresignedStore
  /** The attempt in whose name grants are asked for from now on. */
  speak(attempt: AttemptOf): void
  readonly cache: SmallCache
  readonly reporter: Reporter
  readonly clock: Clock
  readonly random: Random
  /** The same chance in the engine's shape. */
  readonly bytes: Bytes
  readonly log: MoverLog
  /** Fires when the batch ends as a whole. */
  readonly signal: AbortSignal
  /** `holdfast <version>`, as snapshots carry it. */
  readonly program: string
}
