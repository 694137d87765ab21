import { expect, test } from 'vitest'
import { parseArguments } from './arguments.ts'

test('words that are not ours go to vitest as they are', () => {
  expect(parseArguments(['--all', 'shared/policy', '--', '-t', 'retention'])).toEqual({
    all: true,
    part: undefined,
    rest: ['shared/policy', '-t', 'retention'],
  })
})

test('a part is given with a blank or an equals sign', () => {
  expect(parseArguments(['--part', '2/3']).part).toBe('2/3')
  expect(parseArguments(['--part=1/1']).part).toBe('1/1')
})

test.each(['0/3', '4/3', '3', '', 'a/b', '1/2/3'])('a part that is none is refused: %j', (text) => {
  expect(() => parseArguments(['--part', text])).toThrow(`it got '${text}'`)
})
