import { describe, expect, it } from 'vitest'
import type { Clock } from '../../shared/clock.ts'
import { createRedial, LAST_WINDOW } from './redial.ts'

/** A clock that jumps to the end of every sleep. */
function jumpingClock(): Clock & { at: number } {
  return {
    at: 0,
    now() {
      return this.at
    },
    monotonic() {
      return this.at
    },
    async sleep(ms) {
      this.at += ms
    },
  }
}

/** Random bytes whose fraction is `value`. */
function fixed(value: number) {
  const n = Math.floor(value * 2 ** 32)
  return { bytes: () => Uint8Array.of(n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255) }
}

async function tries(at: number, count: number): Promise<number[]> {
  const clock = jumpingClock()
  const redial = createRedial({ clock, random: fixed(at) })
  const moments: number[] = []
  for (let i = 0; i < count; i++) {
    await redial.wait(new AbortController().signal)
    moments.push(clock.at)
  }
  return moments
}

describe('createRedial', () => {
  it('tries once in each window, and windows double from 1 s to 64 s', async () => {
    const starts = [0, 1, 3, 7, 15, 31, 63, 127, 191].map((seconds) => seconds * 1_000)
    expect(await tries(0, 9)).toEqual(starts)
  })

  it('spreads the tries evenly over the window and waits out the rest', async () => {
    expect(await tries(0.5, 4)).toEqual([500, 2_000, 5_000, 11_000])
  })

  it('never waits longer than two windows', async () => {
    const clock = jumpingClock()
    let n = 0
    const redial = createRedial({
      clock,
      random: {
        bytes: () => {
          n += 91
          return Uint8Array.of(n & 255, n & 255, 0, 0)
        },
      },
    })
    for (let i = 0; i < 200; i++) {
      const before = clock.at
      await redial.wait(new AbortController().signal)
      expect(clock.at - before).toBeLessThanOrEqual(2 * LAST_WINDOW)
    }
  })

  it('begins with the first window again after a reset', async () => {
    const clock = jumpingClock()
    const redial = createRedial({ clock, random: fixed(0.999) })
    for (let i = 0; i < 10; i++) await redial.wait(new AbortController().signal)
    redial.reset()
    const before = clock.at
    await redial.wait(new AbortController().signal)
    expect(clock.at - before).toBeLessThan(1_000)
  })

  it('waits at least as long as the other side asked', async () => {
    const clock = jumpingClock()
    const redial = createRedial({ clock, random: fixed(0) })
    await redial.wait(new AbortController().signal, 30_000)
    expect(clock.at).toBe(30_000)
  })
})
