// What the supervisor hears of each job: progress at most once a second, and exactly one end.
import type { JobCounts, Progress } from '../../shared/backup/job.ts'
import type { Outcome, Reason } from '../../shared/backup/outcome.ts'
import { type Clock, SECOND } from '../../shared/clock.ts'
import type { FromMover } from '../ipc/messages.ts'
import { endingOf } from './ending.ts'

export interface JobEnd {
  readonly outcome: Exclude<Outcome, 'missed' | 'lost'>
  readonly reason: Reason
  readonly message?: string
  readonly counts?: JobCounts
  /** age ciphertext for the recovery recipient, base64. */
  readonly report?: string
}

export interface Reporter {
  /** Called as often as one likes; it is read when a second has passed since the last line. */
  progress(job: string, progress: Progress): void
  /** The source is read: what was paused for it may go on. */
  released(job: string): Promise<void>
  done(job: string, end: JobEnd): Promise<void>
  /** As `done`, with the ending that belongs to `error`. */
  failed(job: string, error: unknown): Promise<void>
  isDone(job: string): boolean
}

/** Progress is shown to people and kept in a database: once a second is as fast as either can look. */
const progressEvery = SECOND

export function createReporter(
  tell: (message: Exclude<FromMover, { type: 'ask' }>) => Promise<void>,
  clock: Clock,
): Reporter {
  const told = new Map<string, { at: number; phase: Progress['phase'] }>()
  const ended = new Set<string>()
  const whole = (value: number): number => Math.max(0, Math.round(value))

  function progress(job: string, now: Progress): void {
    if (ended.has(job)) return
    const last = told.get(job)
    const at = clock.monotonic()
    if (last !== undefined && at - last.at < progressEvery) return
    told.set(job, { at, phase: now.phase })
    const rounded = Object.fromEntries(
      Object.entries(now).flatMap(([key, value]) => {
        if (value === undefined) return []
        return [[key, typeof value === 'number' ? whole(value) : value]]
      }),
    ) as Progress
    // A line that cannot be written means that the supervisor is gone, which ends the batch elsewhere.
    tell({ type: 'progress', job, progress: rounded }).catch(() => {})
  }

  async function done(job: string, end: JobEnd): Promise<void> {
    if (ended.has(job)) return
    ended.add(job)
    const { message, ...rest } = end
    const cut = message === undefined ? {} : { message: message.slice(0, 1_000) }
    await tell({ type: 'done', job, ...rest, ...cut })
  }

  return {
    progress,
    released: (job) => tell({ type: 'released', job }),
    done,
    failed: (job, error) => done(job, endingOf(error)),
    isDone: (job) => ended.has(job),
  }
}
