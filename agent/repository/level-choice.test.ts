import { expect, test } from 'vitest'
import { LevelChoice } from './level-choice.ts'

const large = 1 << 20

/** What a choice asks of a compressor that makes `sizes[level]` of everything. */
function asked(choice: LevelChoice, length: number, sizes: Record<number, number>): number[] {
  const levels: number[] = []
  choice.use(length, (level) => {
    levels.push(level)
    return sizes[level]!
  })
  return levels
}

test('level 1 is used between trials while it makes large chunks no larger', () => {
  const choice = new LevelChoice()
  expect(asked(choice, large, { 1: 1001, 2: 1000 })).toEqual([1, 2])
  for (let i = 1; i < 16; i++) expect(asked(choice, large, { 1: 1001, 2: 1000 })).toEqual([1])
  expect(asked(choice, large, { 1: 1001, 2: 1000 })).toEqual([1, 2])
})

test('level 2 is used once level 1 makes chunks larger, and the trial keeps what level 2 made', () => {
  const choice = new LevelChoice()
  asked(choice, large, { 1: 990, 2: 1000 })
  for (let i = 1; i < 16; i++) asked(choice, large, { 1: 990, 2: 1000 })
  expect(choice.use(large, (level) => (level === 1 ? 1200 : 1000))).toBe(1000)
  expect(asked(choice, large, { 1: 1200, 2: 1000 })).toEqual([2])
})

test('what only level 2 shrinks counts against level 1', () => {
  const choice = new LevelChoice()
  asked(choice, large, { 1: 0, 2: large - 5000 })
  expect(asked(choice, large, { 1: 0, 2: large - 5000 })).toEqual([2])
})

test('chunks that do not shrink and small blobs change nothing', () => {
  const choice = new LevelChoice()
  expect(choice.use(large, () => 0)).toBe(0)
  expect(asked(choice, large >> 3, { 1: 10, 2: 20 })).toEqual([2])
  expect(asked(choice, large, { 1: 10, 2: 20 })).toEqual([1, 2])
  for (let i = 0; i < 40; i++) expect(asked(choice, large, { 1: 0, 2: 0 })).toEqual([1])
})
