import { expect, test } from 'vitest'
import { dataSubset, parseDataSubset, tellReadData } from './data-subset.ts'

test.each([
  ['1/5', { part: 1, of: 5 }],
  ['256/256', { part: 256, of: 256 }],
  ['10%', { percent: 10 }],
  ['0.5%', { percent: 0.5 }],
  ['100%', { percent: 100 }],
  ['4096', { bytes: 4096 }],
  ['500M', { bytes: 500 * 2 ** 20 }],
  ['2g', { bytes: 2 * 2 ** 30 }],
])('%s is understood as restic understands it', (text, subset) => {
  expect(parseDataSubset(text)).toEqual(subset)
})

test.each([
  '',
  '0/5',
  '6/5',
  '1/257',
  '1/',
  '/5',
  '0%',
  '101%',
  '-1%',
  '0',
  'M',
  '5MB',
  '1 /5',
  'all',
])('"%s" is refused with what could be written instead', (text) => {
  expect(() => parseDataSubset(text)).toThrow(
    expect.objectContaining({ code: 'invalid', hint: expect.stringContaining('n/t') }),
  )
})

test('a snapshot is named whole, or left to chance', () => {
  expect(dataSubset.safeParse({ snapshot: 'ab'.repeat(32) }).success).toBe(true)
  expect(dataSubset.safeParse({ snapshot: 'random' }).success).toBe(true)
  expect(dataSubset.safeParse({ snapshot: 'abcdef01' }).success).toBe(false)
  expect(dataSubset.safeParse({ part: 1, of: 2, percent: 5 }).success).toBe(false)
})

test('what is read is told in a few words', () => {
  const told = [false, true, { part: 2, of: 5 }, { percent: 10 }, { bytes: 7 }].map(tellReadData)
  expect(told).toEqual(['none', 'all', '2/5', '10%', '7 bytes'])
  expect(tellReadData({ snapshot: 'random' })).toBe('random snapshot')
})
