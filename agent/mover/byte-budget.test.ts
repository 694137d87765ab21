import { expect, test } from 'vitest'
import { Bell } from './bell.ts'
import { ByteBudget } from './byte-budget.ts'

test('a budget lets in what fits, in the order it came, and what never fits alone', async () => {
  const budget = new ByteBudget(10)
  const log: string[] = []
  const take = async (name: string, bytes: number) => {
    await budget.take(bytes)
    log.push(name)
  }
  await take('six', 6)
  const waiting = [take('eight', 8), take('one', 1), take('thirty', 30), take('two', 2)]
  await Promise.resolve()
  // One would fit beside six, but eight came first.
  expect(log).toEqual(['six'])
  budget.release(6)
  await Promise.all(waiting.slice(0, 2))
  expect(log).toEqual(['six', 'eight', 'one'])
  budget.release(8)
  await Promise.resolve()
  expect(log).toHaveLength(3)
  budget.release(1)
  await waiting[2]
  expect(log.at(-1)).toBe('thirty')
  budget.release(30)
  await waiting[3]
  expect(log.at(-1)).toBe('two')
})

test('a bell wakes all who wait when it is rung, and not who comes later', async () => {
  const bell = new Bell()
  const woken: string[] = []
  const wait = (name: string) => bell.wait().then(() => woken.push(name))
  const early = [wait('a'), wait('b')]
  bell.ring()
  const late = wait('c')
  await Promise.all(early)
  expect(woken).toEqual(['a', 'b'])
  bell.ring()
  await late
  expect(woken).toEqual(['a', 'b', 'c'])
})
