// How often one address may show a wrong token. Right tokens are never held up by others' wrong ones.
import { type Clock, MINUTE } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'

/** Wrong tokens one address may show at once; one more each refill. Nobody mistypes faster. */
const BURST = 20
const REFILL = MINUTE / 10

/** Addresses remembered; beyond it the longest quiet is forgotten, which only ever makes us milder. */
const MAX_ADDRESSES = 10_000

export interface FailedAttempts {
  /** Counts one failure; throws `too-many` when the address has used up its share. */
  note(address: string): void
}

export function createFailedAttempts(clock: Pick<Clock, 'monotonic'>): FailedAttempts {
  const buckets = new Map<string, { left: number; at: number }>()
  return {
    note(address) {
      const now = clock.monotonic()
      const old = buckets.get(address)
      const refilled = old === undefined ? BURST : old.left + (now - old.at) / REFILL
      const left = Math.min(BURST, refilled)
      buckets.delete(address)
      buckets.set(address, { left: Math.max(0, left - 1), at: now })
      if (buckets.size > MAX_ADDRESSES) buckets.delete(buckets.keys().next().value!)
      if (left >= 1) return
      throw new HoldfastError('too-many', 'too many failed attempts from this address', {
        hint: `wait ${Math.ceil(REFILL / 1_000)} seconds before the next`,
      })
    },
  }
}
