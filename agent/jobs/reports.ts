// Outcomes on their way to the control plane: sent from the journal until confirmed, across restarts.
import { type Clock, type Duration, fraction, type Random, SECOND } from '../../shared/clock.ts'
import type { Log } from '../log/log.ts'
import { describeError } from '../log/scrub.ts'
import type { Journal, Report } from './journal.ts'
import type { Plane } from './plane.ts'
import { worthRepeating } from './serve-ask.ts'

/** Pause after a report that did not get through, doubling up to the longest. */
const FIRST_PAUSE: Duration = 2 * SECOND
const LAST_PAUSE: Duration = 60 * SECOND

export interface Reports {
  /** Send what is unsent until `signal` is aborted. */
  run(signal: AbortSignal): Promise<void>
  /** There is something new to send, or the control plane is back. */
  nudge(): void
  /** Tell the control plane again how this batch ended. */
  repeat(batch: string): void
}

export function createReports(deps: {
  journal: Journal
  plane: Plane
  clock: Clock
  random: Random
  log: Log
}): Reports {
  const { journal, plane, clock, random, log } = deps
  let wake = () => {}
  let again: Report[] = []

  /** True when the report needs no further sending. */
  async function send({ batch, request }: Report, signal: AbortSignal): Promise<boolean> {
    try {
      await plane.finish(batch, request, { signal })
      return true
    } catch (error) {
      if (signal.aborted || worthRepeating(error)) return false
      // A newer attempt owns the job, or it is gone: nobody waits for this report.
      const { job, attempt, outcome } = request
      const fields = { batch, job, attempt, outcome, error: describeError(error) }
      log.warn('the control plane refused the outcome of a job', fields)
      return true
    }
  }

  return {
    nudge: () => wake(),
    repeat(batch) {
      again = [...again, ...(journal.batches.get(batch)?.reports ?? [])]
      wake()
    },
    async run(signal) {
      let pause = FIRST_PAUSE
      while (!signal.aborted) {
        const woken = new Promise<void>((resolve) => {
          wake = resolve
        })
        let failed = false
        const repeated = again
        again = []
        for (const report of new Set([...journal.unsent, ...repeated])) {
          if (signal.aborted) return
          if (!(await send(report, signal))) failed = true
          else if (!report.acknowledged) journal.acknowledge(report)
        }
        if (!failed) {
          pause = FIRST_PAUSE
          const aborted = new Promise<void>((resolve) => {
            signal.addEventListener('abort', () => resolve(), { once: true })
          })
          await Promise.race([woken, aborted])
          continue
        }
        const stop = new AbortController()
        const either = AbortSignal.any([signal, stop.signal])
        const slept = clock.sleep(pause * (0.5 + fraction(random)), either).catch(() => {})
        await Promise.race([slept, woken])
        stop.abort()
        pause = Math.min(pause * 2, LAST_PAUSE)
      }
    },
  }
}
