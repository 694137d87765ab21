// The store that tries again: a decorator that is itself a store.
import { type ObjectStore, StorageError } from './object-store.ts'

export interface RetryOptions {
  /** Wait so many milliseconds; rejects with the signal's reason if the caller gives up. */
  readonly sleep: (ms: number) => Promise<void>
  /** Uniform in 0 to below 1. */
  readonly random: () => number
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number
  /** Give up once a call has taken so many milliseconds in all. Defaults to 15 minutes, as restic does. */
  readonly patience?: number
}

const usualPatience = 15 * 60 * 1000
/** The first wait is up to 0.5 s, each later one up to twice as long, none longer than 60 s. */
const firstWait = 500
const longestWait = 60_000
/** A range that ends early twice in a row is no accident of the network. */
const truncations = 3

/** Whether another attempt could end better. Unknown errors are not retried: they are bugs, not weather. */
export function isRetryable(error: unknown, attempt: number): boolean {
  if (!(error instanceof StorageError)) return false
  if (error.code === 'truncated') return attempt < truncations
  return error.retryable
}

/** How long to wait after failed attempt number `attempt` (from 1): full jitter over a doubling window. */
export function waitAfter(attempt: number, random: () => number): number {
  return random() * Math.min(longestWait, firstWait * 2 ** (attempt - 1))
}

/** `store`, with each call repeated until it succeeds, cannot, or patience runs out; then the last error is thrown. */
export function withRetry(store: ObjectStore, options: RetryOptions): ObjectStore {
  const { sleep, random, now, patience = usualPatience } = options

  async function run<T>(work: () => Promise<T>): Promise<T> {
    const start = now()
    for (let attempt = 1; ; attempt++) {
      try {
        return await work()
      } catch (error) {
        const wait = waitAfter(attempt, random)
        if (!isRetryable(error, attempt) || now() - start + wait > patience) throw error
        await sleep(wait)
      }
    }
  }

  return {
    put: (key, sha256, bytes) => run(() => store.put(key, sha256, bytes)),
    get: (key, range) => run(() => store.get(key, range)),
    head: (key) => run(() => store.head(key)),
    remove: (key) => run(() => store.remove(key)),
    // A listing that broke off starts anew, so it is handed out only when it is whole.
    list: async function* (prefix) {
      yield* await run(async () => {
        const found = []
        for await (const object of store.list(prefix)) found.push(object)
        return found
      })
    },
  }
}
