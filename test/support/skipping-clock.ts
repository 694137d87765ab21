// The machine's clock with a button to skip ahead: sleeps are real, waits of minutes are not.
import type { Clock } from '../../shared/clock.ts'
import { systemClock } from './system-clock.ts'

export interface SkippingClock extends Clock {
  /** Wall and monotonic time jump forward by `ms`. */
  skip(ms: number): void
}

export function createSkippingClock(): SkippingClock {
  let skipped = 0
  return {
    now: () => Math.floor(systemClock.now()) + skipped,
    monotonic: () => systemClock.monotonic() + skipped,
    sleep: systemClock.sleep,
    skip(ms) {
      skipped += ms
    },
  }
}
