// How many transfers at a time: as many as the store carries better than fewer, and half of that when it says so.
import type { Clock, Duration } from '../../shared/clock.ts'

export interface Lanes {
  /** Wait for a place in the order of asking; resolves with the function that gives it back. */
  enter(signal: AbortSignal): Promise<Leave>
  /** How many may be under way now. */
  readonly width: number
}

/** How a transfer went: bytes that are now stored, `busy` if the store asked for patience (and for how long), or neither. */
export type Went =
  | { readonly bytes: number }
  | { readonly busy: true; readonly wait?: Duration | undefined }
  | { readonly failed: true }
export type Leave = (went: Went) => void

export interface LanesOptions {
  readonly clock: Clock
  /** Places at the beginning. */
  readonly first: number
  /** The most places there may be at this moment; asked for each time. */
  readonly most: () => number
}

/** Another place is kept if it brought this much more; less is chance, and costs a pack's worth of memory. */
const worthwhile = 1.05
/** Part of a round's time for which its places must have been taken, so that it says something of the store. */
const wellUsed = 0.8
/** After a place that brought nothing, so many rounds of transfers pass until the next attempt. */
const roundsOfRest = 16

/**
 * Begins with `first` places. After each round (as many transfers as there are places, all places taken) the bytes a
 * second are compared with those of one place fewer: one more is tried while that helps. `busy` halves the places,
 * once for all transfers that were under way together, and lets nothing begin before the store's own time is over.
 */
export function createLanes({ clock, first, most }: LanesOptions): Lanes {
  let width = first
  let taken = 0
  const waiting: (() => void)[] = []
  /** Nothing begins before this moment of the monotonic clock. */
  let closedUntil = 0
  /** Transfers that began before it say nothing new by being refused. */
  let halvedAt = Number.NEGATIVE_INFINITY
  let round = { begun: clock.monotonic(), bytes: 0, transfers: 0, busy: 0 }
  /** Up to this moment the time of taken places is counted in `round.busy`. */
  let counted = round.begun
  /** Bytes per millisecond with one place fewer, as far as that is known. */
  let before: number | undefined
  let rest = 0

  const room = (): number => Math.max(1, Math.min(width, most()))

  function count(): void {
    const now = clock.monotonic()
    round.busy += taken * (now - counted)
    counted = now
  }

  function beginRound(): void {
    counted = clock.monotonic()
    round = { begun: counted, bytes: 0, transfers: 0, busy: 0 }
  }

  function admit(): void {
    while (taken < room()) {
      const next = waiting.shift()
      if (next === undefined) return
      taken++
      next()
    }
  }

  function endRound(): void {
    const time = Math.max(1, clock.monotonic() - round.begun)
    const rate = round.bytes / time
    const full = round.busy >= wellUsed * room() * time
    beginRound()
    // A round in which places stood empty measures whoever makes the packs, not the store.
    if (!full) return
    if (rest > 0) {
      rest--
      return
    }
    if (before !== undefined && rate < before * worthwhile) {
      width = Math.max(1, width - 1)
      before = undefined
      rest = roundsOfRest
      return
    }
    if (width >= most()) return
    before = rate
    width++
  }

  function took(began: number, went: Went): void {
    if ('failed' in went) return
    if ('busy' in went) {
      const now = clock.monotonic()
      if (went.wait !== undefined) closedUntil = Math.max(closedUntil, now + went.wait)
      if (began < halvedAt) return
      halvedAt = now
      width = Math.max(1, Math.floor(room() / 2))
      before = undefined
      rest = roundsOfRest
      beginRound()
      return
    }
    round.bytes += went.bytes
    round.transfers++
    if (round.transfers >= room()) endRound()
  }

  return {
    get width() {
      return room()
    },
    async enter(signal) {
      signal.throwIfAborted()
      count()
      if (taken < room() && waiting.length === 0) taken++
      else await turn(signal)
      try {
        for (let now = clock.monotonic(); now < closedUntil; now = clock.monotonic()) {
          await clock.sleep(closedUntil - now, signal)
        }
      } catch (error) {
        count()
        taken--
        admit()
        throw error
      }
      const began = clock.monotonic()
      return (went) => {
        count()
        took(began, went)
        taken--
        admit()
      }
    },
  }

  function turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = (): void => {
        signal.removeEventListener('abort', stop)
        resolve()
      }
      const stop = (): void => {
        const at = waiting.indexOf(go)
        if (at >= 0) waiting.splice(at, 1)
        reject(signal.reason)
      }
      signal.addEventListener('abort', stop, { once: true })
      waiting.push(go)
    })
  }
}
