import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createTokenBucket } from './token-bucket.ts'

const never = new AbortController().signal

/** Timers in order of their time, run by `run`: many may sleep at once. */
function timedClock() {
  let at = 0
  const timers = new Set<{ time: number; wake: () => void }>()
  return {
    now: () => at,
    monotonic: () => at,
    sleep(ms: number, signal?: AbortSignal): Promise<void> {
      return new Promise((resolve, reject) => {
        const timer = { time: at + ms, wake: resolve }
        timers.add(timer)
        signal?.addEventListener('abort', () => {
          timers.delete(timer)
          reject(signal.reason)
        })
      })
    },
    /** Until nothing sleeps, or `upTo`. */
    async run(upTo = Number.POSITIVE_INFINITY): Promise<void> {
      for (;;) {
        for (let i = 0; i < 5; i++) await Promise.resolve()
        const next = [...timers].sort((a, b) => a.time - b.time)[0]
        if (next === undefined || next.time > upTo) break
        timers.delete(next)
        at = Math.max(at, next.time)
        next.wake()
      }
      if (Number.isFinite(upTo)) at = Math.max(at, upTo)
    },
  }
}

describe('a token bucket', () => {
  it('lets everything pass at once without a rate', () => {
    const bucket = createTokenBucket(timedClock())
    expect(bucket.take(1e12, never)).toBeUndefined()
  })

  it('keeps the average whatever the sizes, within a burst and one piece', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 500_000 }), { minLength: 2, maxLength: 60 }),
        fc.integer({ min: 10_000, max: 50_000_000 }),
        async (sizes, rate) => {
          const clock = timedClock()
          const bucket = createTokenBucket(clock, rate)
          const last = { at: 0 }
          for (const size of sizes) {
            void bucket.take(size, never)?.then(() => {
              last.at = clock.now()
            })
          }
          await clock.run()
          // Everything but the last piece is paid for when the last one goes.
          const paid = sizes.slice(0, -1).reduce((sum, size) => sum + size, 0)
          expect(last.at).toBeGreaterThanOrEqual((paid / rate) * 1_000 - 1)
          expect(last.at).toBeLessThanOrEqual((paid / rate) * 1_000 + sizes.length + 1)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('takes a new rate at once, also for who waits', async () => {
    const clock = timedClock()
    const bucket = createTokenBucket(clock, 1_000)
    const went: number[] = []
    void bucket.take(100_000, never)
    const second = bucket.take(1_000, never)!.then(() => went.push(clock.now()))
    await clock.run(10_000)
    expect(went).toEqual([])
    // 90 s of debt at the old rate are 0.9 s at the new one.
    bucket.setRate(100_000)
    await clock.run(12_000)
    await second
    expect(went).toEqual([10_900])
    void bucket.take(1e9, never)
    const third = bucket.take(1, never)!.then(() => went.push(clock.now()))
    bucket.setRate(undefined)
    await clock.run(12_000)
    await third
    expect(went).toHaveLength(2)
  })

  it('saves up no more than a tenth of a second', async () => {
    const clock = timedClock()
    const bucket = createTokenBucket(clock, 1_000)
    await clock.run(60_000)
    expect(bucket.take(101, never)).toBeUndefined()
    const wait = bucket.take(1, never)
    expect(wait).toBeInstanceOf(Promise)
    await clock.run()
  })

  it('forgets who gave up, and lets the others go on', async () => {
    const clock = timedClock()
    const bucket = createTokenBucket(clock, 1_000)
    void bucket.take(5_000, never)
    const stop = new AbortController()
    const gone = bucket.take(1e9, stop.signal)!
    const other = bucket.take(1, never)!.then(() => clock.now())
    stop.abort(new Error('enough'))
    await expect(gone).rejects.toThrow('enough')
    await clock.run()
    expect(await other).toBe(5_000)
  })
})
