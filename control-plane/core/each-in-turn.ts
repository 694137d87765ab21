// Rounds of a timer: one item that fails holds up no other.

/** Runs `task` for each item, one after the other, then rejects with the first failure if there was one. */
export async function eachInTurn<T>(
  items: readonly T[],
  task: (item: T) => Promise<unknown>,
): Promise<void> {
  const failures: unknown[] = []
  for (const item of items) {
    try {
      await task(item)
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
}
