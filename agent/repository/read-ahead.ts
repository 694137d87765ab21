// Fetching the next while the last is being worked on: hides a store's latency without losing the order.

/**
 * Each item with the promise of what `fetch` gives for it, in order, while up to `ahead` later fetches are under
 * way. The consumer awaits the promise, and so decides what a failure means. Stopping early abandons the rest.
 */
export async function* readAhead<T, R>(
  items: readonly T[],
  fetch: (item: T) => Promise<R>,
  ahead: number,
): AsyncGenerator<{ item: T; result: Promise<R> }> {
  const waiting: Promise<R>[] = []
  let next = 0
  for (const item of items) {
    while (next < items.length && waiting.length <= ahead) {
      const result = fetch(items[next++]!)
      result.catch(() => {}) // judged when its turn comes
      waiting.push(result)
    }
    yield { item, result: waiting.shift()! }
  }
}
