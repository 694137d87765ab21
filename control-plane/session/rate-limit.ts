// Token buckets in memory, for calls that anybody may make before we know who it is.
import { type Clock, SECOND } from '../../shared/clock.ts'

export interface RateLimit {
  /** False: too many from there, for now. */
  take(from: string): boolean
}

/** Addresses remembered at a time; the longest unused are forgotten first. */
const MAX_ADDRESSES = 10_000

/** `burst` calls at once, then `perSecond` of them. */
export function createRateLimit(
  clock: Clock,
  limit: { readonly burst: number; readonly perSecond: number },
): RateLimit {
  const buckets = new Map<string, { left: number; at: number }>()
  return {
    take(from) {
      const now = clock.monotonic()
      const old = buckets.get(from) ?? { left: limit.burst, at: now }
      const refilled = old.left + ((now - old.at) / SECOND) * limit.perSecond
      const left = Math.min(limit.burst, refilled)
      buckets.delete(from) // the newest stand last
      buckets.set(from, { left: left < 1 ? left : left - 1, at: now })
      for (const [oldest] of buckets) {
        if (buckets.size <= MAX_ADDRESSES) break
        buckets.delete(oldest)
      }
      return left >= 1
    },
  }
}
