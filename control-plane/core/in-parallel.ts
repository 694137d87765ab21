// Some work at a time, in order.

/** Runs `task` for each item, at most `width` at once; rejects with the first failure. */
export async function inParallel<T, R>(
  items: readonly T[],
  width: number,
  task: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = new Array(items.length)
  let next = 0
  const worker = async () => {
    for (let at = next++; at < items.length; at = next++) results[at] = await task(items[at]!)
  }
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker))
  return results
}

/** Calls to one store at the same time: far below its limits, enough to hide its latency. */
export const STORE_WIDTH = 16
