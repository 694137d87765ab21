import { expect, test } from 'vitest'
import { readAhead } from './read-ahead.ts'

test('keeps the order, starts no more than it may, and leaves failures to the consumer', async () => {
  let running = 0
  let most = 0
  const fetch = async (n: number) => {
    most = Math.max(most, ++running)
    await new Promise((resolve) => setTimeout(resolve, (n * 7) % 5))
    running--
    if (n === 4) throw new Error('four')
    return n * 10
  }
  const ends: unknown[] = []
  const items = [0, 1, 2, 3, 4, 5, 6]
  for await (const { item, result } of readAhead(items, fetch, 2)) {
    ends.push([item, await result.catch((error) => error.message)])
  }
  expect(ends).toEqual(items.map((n) => [n, n === 4 ? 'four' : n * 10]))
  expect(most).toBe(3)
})

test('an early end leaves no failure unhandled', async () => {
  for await (const { result } of readAhead([1, 2, 3], () => Promise.reject(new Error('x')), 5)) {
    await expect(result).rejects.toThrow('x')
    break
  }
  await new Promise(setImmediate)
})
