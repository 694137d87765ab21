// The token of the HTTPS calls: got at each welcome, renewed before it lapses, waited for while there is none.
import type { Clock, Duration, Instant } from '../../shared/clock.ts'
import { SECOND } from '../../shared/clock.ts'

/** A token with less life than this is not used any more: the request itself takes a while. */
const MARGIN: Duration = 10 * SECOND

export interface Session {
  /** A new token and its life in seconds, counted from now. */
  set(token: string, seconds: number): void
  /** The far side no longer knows `token`. */
  drop(token: string): void
  /** The token if there is one; otherwise the next one, or undefined after `patience`. */
  token(patience: Duration, signal?: AbortSignal): Promise<string | undefined>
  /** When, by the monotonic clock, half of the present token's life is over. */
  readonly halfLife: Instant | undefined
  /** Called whenever a token was dropped: someone must get a new one. */
  onDrop(listener: () => void): void
}

export function createSession(clock: Clock): Session {
  let current: { token: string; ends: Instant; half: Instant } | undefined
  let waiting: (() => void)[] = []
  const listeners: (() => void)[] = []
  const live = () => (current && current.ends > clock.monotonic() ? current.token : undefined)

  return {
    set(token, seconds) {
      const now = clock.monotonic()
      const life = seconds * SECOND
      current = { token, ends: now + Math.max(life - MARGIN, life / 2), half: now + life / 2 }
      const woken = waiting
      waiting = []
      for (const wake of woken) wake()
    },
    drop(token) {
      if (current?.token !== token) return
      current = undefined
      for (const listener of listeners) listener()
    },
    async token(patience, signal) {
      const ends = clock.monotonic() + patience
      for (;;) {
        const token = live()
        const left = ends - clock.monotonic()
        if (token !== undefined || left <= 0) return token
        const stop = new AbortController()
        const woken = new Promise<void>((resolve) => waiting.push(resolve))
        const both = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal])
        const slept = clock.sleep(left, both).catch((error) => {
          if (signal?.aborted) throw error
        })
        await Promise.race([woken, slept]).finally(() => stop.abort())
      }
    },
    get halfLife() {
      return live() === undefined ? undefined : current?.half
    },
    onDrop(listener) {
      listeners.push(listener)
    },
  }
}
