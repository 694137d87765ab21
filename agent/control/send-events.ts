// Carries the outbox to the control plane, in order, until each event is acknowledged.
import { type Clock, type Duration, fraction, type Random, SECOND } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { eventsAnswer } from '../../shared/protocol/calls.ts'
import type { Log } from '../log/log.ts'
import { describeError } from '../log/scrub.ts'
import type { Calls } from './calls.ts'
import type { Outbox, OutboxRecord } from './outbox.ts'

/** Pause after a request that did not get through, doubling up to the longest. */
const FIRST_PAUSE: Duration = 2 * SECOND
const LAST_PAUSE: Duration = 60 * SECOND

/** Send until `signal` is aborted. */
export async function sendEvents(deps: {
  outbox: Outbox
  calls: Calls
  clock: Clock
  random: Random
  log: Log
  signal: AbortSignal
}): Promise<void> {
  const { outbox, calls, clock, random, log, signal } = deps
  const aborted = new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
  /** After a refusal events go one by one, so that only the one that breaks a rule is dropped. */
  let oneByOne = false
  let pause = FIRST_PAUSE

  async function send(records: readonly OutboxRecord[]): Promise<void> {
    const { boot } = records[0]!
    const events = records.map(({ seq, at, event }) => ({ seq, at, event }))
    const { acknowledged } = await calls.post('events', { boot, events }, eventsAnswer, { signal })
    outbox.acknowledge(boot, acknowledged)
    if (acknowledged < events[0]!.seq) {
      throw new HoldfastError('plane-unavailable', 'no event was acknowledged')
    }
  }

  while (!signal.aborted) {
    await Promise.race([outbox.waiting(), aborted])
    if (signal.aborted) return
    const next = outbox.next()
    const records = oneByOne ? next.slice(0, 1) : next
    try {
      await send(records)
      pause = FIRST_PAUSE
      oneByOne = false
    } catch (error) {
      if (signal.aborted) return
      const code = error instanceof HoldfastError ? error.code : undefined
      if (code === 'invalid' || code === 'too-large') {
        const [first] = records
        if (records.length === 1 && first !== undefined) {
          log.error('the control plane refused an event', {
            kind: first.event.kind,
            error: describeError(error),
          })
          outbox.acknowledge(first.boot, first.seq)
        }
        oneByOne = true
        continue
      }
      await clock.sleep(pause * (0.5 + fraction(random)), signal).catch(() => {})
      pause = Math.min(pause * 2, LAST_PAUSE)
    }
  }
}
