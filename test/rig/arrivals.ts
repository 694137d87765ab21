/** A list that grows from outside, and a way to wait until it is long enough. */
export interface Arrivals<T> {
  readonly items: readonly T[]
  add(item: T): void
  /** Resolves with the first `count` as soon as they are there; rejects after `seconds` (default 10). */
  received(count: number, seconds?: number): Promise<readonly T[]>
}

/** `what` names the items in the words of a rejection, e.g. `mails`. */
export function createArrivals<T>(what: string): Arrivals<T> {
  const items: T[] = []
  const waiting = new Set<() => void>()
  return {
    items,
    add(item) {
      items.push(item)
      for (const look of waiting) look()
    },
    received(count, seconds = 10) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(look)
          reject(new Error(`${items.length} of ${count} ${what} came within ${seconds} s`))
        }, seconds * 1000)
        const look = () => {
          if (items.length < count) return
          clearTimeout(timer)
          waiting.delete(look)
          resolve(items.slice(0, count))
        }
        waiting.add(look)
        look()
      })
    },
  }
}
