// When to dial again: windows that double, one try at a random moment inside each, and the rest waited out,
// so that a fleet that was cut off together does not come back together.
import type { Clock, Duration, Random } from '../../shared/clock.ts'
import { fraction, SECOND } from '../../shared/clock.ts'

/** First window: a plane that restarts is back within seconds. */
export const FIRST_WINDOW: Duration = SECOND
/** Last window: 5,000 agents then make 80 tries a second. */
export const LAST_WINDOW: Duration = 64 * SECOND

export interface Redial {
  /** Wait until the next try is due, at least `atLeast` ms. Rejects with the signal's reason. */
  wait(signal: AbortSignal, atLeast?: Duration): Promise<void>
  /** The last connection was a good one: begin again with the first window. */
  reset(): void
}

export function createRedial(deps: { clock: Clock; random: Random }): Redial {
  const { clock, random } = deps
  let window = FIRST_WINDOW
  /** Monotonic end of the window that was begun last. */
  let ends = 0
  return {
    async wait(signal, atLeast = 0) {
      const begins = Math.max(clock.monotonic() + atLeast, ends)
      const due = begins + fraction(random) * window
      ends = begins + window
      window = Math.min(window * 2, LAST_WINDOW)
      await clock.sleep(Math.max(0, due - clock.monotonic()), signal)
    },
    reset() {
      window = FIRST_WINDOW
      ends = 0
    },
  }
}
