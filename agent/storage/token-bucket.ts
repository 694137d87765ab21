// Bandwidth that is kept: bytes may pass as fast as tokens come in.
import { type Clock, SECOND } from '../../shared/clock.ts'

export interface TokenBucket {
  /** Bytes a second; undefined: as fast as they come. Takes effect at once, also for who waits. */
  setRate(rate: number | undefined): void
  readonly rate: number | undefined
  /** Let `bytes` pass: undefined at once, or a promise of the moment when they may. In the order of asking. */
  take(bytes: number, signal: AbortSignal): Promise<void> | undefined
}

/** What may pass at once after a pause, in milliseconds of the rate: less would cost timers, more would be felt. */
const burst = 100

interface Waiting {
  readonly bytes: number
  go(): void
}

/**
 * Tokens may be owed: whoever comes while any are left takes all it needs, and the next one waits for the debt. So a
 * piece larger than a burst passes too, and the average is exact whatever the sizes.
 */
export function createTokenBucket(clock: Clock, first?: number): TokenBucket {
  let rate = first
  let tokens = 0
  let at = clock.monotonic()
  const waiting: Waiting[] = []
  let sleeping: AbortController | undefined

  function refill(): void {
    const now = clock.monotonic()
    if (rate !== undefined) {
      tokens = Math.min((rate * burst) / SECOND, tokens + (rate * (now - at)) / SECOND)
    }
    at = now
  }

  function pump(): void {
    refill()
    while (waiting.length > 0 && (rate === undefined || tokens >= 0)) {
      const next = waiting.shift()!
      if (rate !== undefined) tokens -= next.bytes
      next.go()
    }
    if (waiting.length === 0 || rate === undefined || sleeping !== undefined) return
    const wake = new AbortController()
    sleeping = wake
    clock.sleep(Math.max(1, (-tokens / rate) * SECOND), wake.signal).then(
      () => {
        sleeping = undefined
        pump()
      },
      () => {}, // the rate changed, which pumps by itself
    )
  }

  return {
    get rate() {
      return rate
    },
    setRate(next) {
      if (next === rate) return
      refill()
      rate = next
      // A debt at the old rate would be waited for at the new one.
      tokens = Math.min(0, next === undefined ? 0 : tokens)
      sleeping?.abort()
      sleeping = undefined
      pump()
    },
    take(bytes, signal) {
      if (rate === undefined) return undefined
      refill()
      if (waiting.length === 0 && tokens >= 0) {
        tokens -= bytes
        return undefined
      }
      return new Promise((resolve, reject) => {
        const stop = (): void => {
          const index = waiting.indexOf(mine)
          if (index >= 0) waiting.splice(index, 1)
          reject(signal.reason)
        }
        const mine: Waiting = {
          bytes,
          go() {
            signal.removeEventListener('abort', stop)
            resolve()
          },
        }
        if (signal.aborted) return reject(signal.reason)
        signal.addEventListener('abort', stop, { once: true })
        waiting.push(mine)
        pump()
      })
    },
  }
}
