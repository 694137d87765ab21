// A clock that moves only when told to, and a random source that repeats itself for the same seed.
import type { Clock, Random } from '../../shared/clock.ts'
import { createSeeded } from './seeded.ts'

export interface MemoryClock extends Clock {
  /** Moves wall and monotonic time forward by `ms`. */
  advance(ms: number): void
}

/** Begins at 2026-01-02T03:04:05.678Z. A sleep moves the clock itself and returns at once. */
export function createMemoryClock(start = Date.UTC(2026, 0, 2, 3, 4, 5, 678)): MemoryClock {
  let passed = 0
  return {
    now: () => start + passed,
    monotonic: () => passed,
    async sleep(ms) {
      passed += ms
    },
    advance(ms) {
      passed += ms
    },
  }
}

export function createSeededRandom(seed: string): Random {
  const seeded = createSeeded(seed)
  return { bytes: (length) => new Uint8Array(seeded.bytes(length)) }
}
