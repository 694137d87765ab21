// Keeps the lease of a batch while its mover works, and says when it is lost and when it is back.
import type { Progress } from '../../shared/backup/job.ts'
import { type Clock, type Duration, fraction, type Random, SECOND } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type { JournalJob } from './journal.ts'
import type { Plane } from './plane.ts'

/** Twenty tries fit into a lease of ten minutes. */
const RENEW_EVERY: Duration = 30 * SECOND
/** After a try that failed. */
const RETRY_EVERY: Duration = 5 * SECOND
/** How exactly the end of a lease is seen. */
const LOOK_EVERY: Duration = 5 * SECOND
/** People who watch a job see it move; the control plane writes once per this. */
const PROGRESS_EVERY: Duration = 2 * SECOND

export interface LeaseEvents {
  /** The lease ended, or it is held again. */
  held(held: boolean): void
  /** A person cancelled these. */
  cancel(jobs: readonly string[]): void
  /** These belong to a newer attempt, or to nobody. */
  gone(jobs: readonly string[]): void
}

export interface LeaseKeeper {
  run(signal: AbortSignal): Promise<void>
  progress(job: string, progress: Progress): void
}

export function createLeaseKeeper(deps: {
  plane: Plane
  batch: string
  leaseSeconds: number
  /** The jobs that are not over. */
  open: () => readonly JournalJob[]
  clock: Clock
  random: Random
  events: LeaseEvents
}): LeaseKeeper {
  const { plane, batch, clock, random, events } = deps
  let ends = clock.monotonic() + deps.leaseSeconds * SECOND
  let held = true
  const latest = new Map<string, Progress>()
  let wake = () => {}

  function setHeld(now: boolean): void {
    if (held === now) return
    held = now
    events.held(now)
  }

  /** One renewal. Resolves with the pause until the next. */
  async function renew(signal: AbortSignal): Promise<Duration> {
    const open = deps.open()
    if (open.length === 0) return RENEW_EVERY
    const jobs = open.map(({ job, attempt, fence }) => {
      const progress = latest.get(job)
      return { job, attempt, fence, ...(progress === undefined ? {} : { progress }) }
    })
    latest.clear()
    const asked = clock.monotonic()
    try {
      const answer = await plane.lease(batch, { jobs }, { signal, tries: 1 })
      // Counted from before the question: the answer may have been long on its way.
      ends = asked + answer.leaseSeconds * SECOND
      setHeld(answer.leaseSeconds > 0)
      if (answer.gone.length > 0) events.gone(answer.gone)
      if (answer.cancel.length > 0) events.cancel(answer.cancel)
      const pause = Math.min(RENEW_EVERY, (answer.leaseSeconds * SECOND) / 3)
      return Math.max(SECOND, pause) * (0.9 + 0.2 * fraction(random))
    } catch (error) {
      const code = error instanceof HoldfastError ? error.code : undefined
      if (code === 'fence-stale' || code === 'not-found' || code === 'forbidden') {
        events.gone(open.map(({ job }) => job))
      }
      return RETRY_EVERY * (0.5 + fraction(random))
    }
  }

  /** Apart from the renewals: a renewal that hangs must not hide that the lease is over. */
  async function watchEnd(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const left = ends - clock.monotonic()
      if (left <= 0) setHeld(false)
      const pause = left <= 0 ? LOOK_EVERY : Math.min(left, LOOK_EVERY)
      await clock.sleep(pause, signal).catch(() => {})
    }
  }

  async function renewals(signal: AbortSignal): Promise<void> {
    let renewAt = clock.monotonic()
    let lastAsked = Number.NEGATIVE_INFINITY
    while (!signal.aborted) {
      const now = clock.monotonic()
      const due = latest.size > 0 && held ? Math.min(renewAt, lastAsked + PROGRESS_EVERY) : renewAt
      if (now >= due) {
        lastAsked = now
        renewAt = clock.monotonic() + (await renew(signal))
        continue
      }
      const stop = new AbortController()
      const news = new Promise<void>((resolve) => {
        wake = latest.size > 0 ? () => {} : resolve
      })
      const either = AbortSignal.any([signal, stop.signal])
      await Promise.race([clock.sleep(due - now, either).catch(() => {}), news])
      stop.abort()
    }
  }

  return {
    progress(job, progress) {
      latest.set(job, progress)
      wake()
    },
    async run(signal) {
      await Promise.all([renewals(signal), watchEnd(signal)])
    },
  }
}
