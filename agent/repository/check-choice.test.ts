import { expect, test } from 'vitest'
import { choosePacks, randomBelow } from './check-choice.ts'
import { systemRandom } from './id.ts'

const packs = new Map(
  Array.from({ length: 500 }, () => [systemRandom(32).toString('hex'), 1000] as const),
)
const all = [...packs.keys()]
const choose = (wanted: Parameters<typeof choosePacks>[1], random = systemRandom) =>
  choosePacks(packs, wanted, random)

test('none and all are what they say', () => {
  expect(choose(false)).toEqual([])
  expect(choose(true)).toEqual(all)
})

test('part n of t goes by the first byte of the id, and all parts together are everything', () => {
  for (const of of [1, 2, 7, 256]) {
    const parts = Array.from({ length: of }, (_, i) => choose({ part: i + 1, of }))
    expect(parts.flat().sort()).toEqual([...all].sort())
  }
  for (const id of choose({ part: 3, of: 7 }))
    expect(Number.parseInt(id.slice(0, 2), 16) % 7).toBe(2)
})

test('a share is that many packs, another choice each time, and never none', () => {
  expect(choose({ percent: 10 }).length).toBe(50)
  expect(choose({ percent: 100 }).sort()).toEqual([...all].sort())
  expect(choose({ percent: 0.01 }).length).toBe(1)
  expect(choose({ percent: 10 })).not.toEqual(choose({ percent: 10 }))
  expect(choosePacks(new Map(), { percent: 50 }, systemRandom)).toEqual([])
})

test('a size is reached and exceeded by one pack at most', () => {
  expect(choose({ bytes: 1 }).length).toBe(1)
  expect(choose({ bytes: 10_000 }).length).toBe(10)
  expect(choose({ bytes: 10_001 }).length).toBe(11)
  expect(choose({ bytes: 1e12 }).length).toBe(500)
})

test('chance is what is passed in', () => {
  const least = (n: number) => Buffer.alloc(n)
  const most = (n: number) => Buffer.alloc(n, 0xff)
  expect(choose({ percent: 20 }, least)).toEqual(choose({ percent: 20 }, least))
  expect([randomBelow(least, 10), randomBelow(most, 10)]).toEqual([0, 9])
})
