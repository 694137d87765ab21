// Asking the control plane with patience: an outage is waited out, a decision is not argued with.
import {
  type Clock,
  type Duration,
  fraction,
  HOUR,
  MINUTE,
  type Random,
  SECOND,
} from '../../shared/clock.ts'
import type { AskAnswer, AskName, AskRequest } from '../ipc/messages.ts'
import type { Hatch } from './hatch.ts'
import type { Lease } from './lease.ts'
import { Refusal } from './refusal.ts'

/** Which attempt of which job speaks. */
export interface AttemptOf {
  readonly job: string
  readonly attempt: number
  readonly fence: number
}

export interface AskOptions {
  /** Ends the wait; its reason is what `ask` rejects with. */
  readonly signal: AbortSignal
  /** Retryable refusals that the caller handles itself. */
  readonly pass?: readonly string[]
  /** Longest wait in milliseconds, if it is to be another than the usual. */
  readonly patience?: Duration
}

export interface Plane {
  /**
   * As `Hatch.ask`, repeated with growing pauses while the refusal is retryable: for six hours where the
   * control plane cannot be reached, for twenty minutes where it asks for patience itself.
   */
  ask<N extends AskName>(name: N, body: AskRequest<N>, options: AskOptions): Promise<AskAnswer<N>>
}

/** A control plane may be down over night; what is read and sealed here is worth that wait. */
const outagePatience = 6 * HOUR
/** Quotas free themselves when URLs end (15 min); nothing else that a plane asks patience for takes longer. */
const usualPatience = 20 * MINUTE
/** First and longest pause; they double, and their second half is random. */
const firstPause = SECOND
const longestPause = MINUTE

/** Codes that only say: nobody there, or not ours at the moment. */
const outages: ReadonlySet<string> = new Set(['plane-unavailable', 'lease-lapsed'])

export function createPlane(deps: {
  hatch: Hatch
  lease: Lease
  clock: Clock
  random: Random
}): Plane {
  const { hatch, lease, clock, random } = deps
  return {
    async ask(name, body, { signal, pass = [], patience }) {
      const begun = clock.monotonic()
      for (let pause = firstPause; ; pause = Math.min(pause * 2, longestPause)) {
        try {
          return await hatch.ask(name, body, signal)
        } catch (error) {
          if (!(error instanceof Refusal) || !error.retryable) throw error
          if (pass.includes(error.code)) throw error
          const outage = outages.has(error.code)
          const limit = patience ?? (outage ? outagePatience : usualPatience)
          if (clock.monotonic() - begun >= limit) throw error
          // The supervisor tells when the lease is back; that moment is better than any guess.
          if (error.code === 'lease-lapsed' && !lease.held && patience === undefined) {
            await lease.whenHeld(signal)
          }
          await clock.sleep(pause / 2 + (pause / 2) * fraction(random), signal)
        }
      }
    },
  }
}
