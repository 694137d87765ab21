import { expect, test } from 'vitest'
import { createPatternMatcher } from './patterns.ts'

test.each([
  ['*.log', 'app.log', true],
  ['*.log', 'deep/down/app.log', true],
  ['*.log', 'app.log/file', false],
  ['*.log', 'app.logs', false],
  ['db/*.wal', 'db/1.wal', true],
  ['db/*.wal', 'db/x/1.wal', false],
  ['db/*.wal', 'other/db/1.wal', false],
  ['/top', 'top', true],
  ['/top', 'a/top', false],
  ['db/**', 'db/a/b', true],
  ['db/**', 'db', true],
  ['db/**', 'dbx', false],
  ['**/cache/*', 'cache/x', true],
  ['**/cache/*', 'a/b/cache/x', true],
  ['a/**/z', 'a/z', true],
  ['a/**/z', 'a/b/c/z', true],
  ['?.txt', '\u{1f9ef}.txt', true],
  ['?.txt', 'ab.txt', false],
  ['f?', 'f/', false],
  ['caf\u00e9', 'caf\u00e9', true],
  ['a+b(c)[d]{e}$^|.', 'a+b(c)[d]{e}$^|.', true],
  ['a.b', 'axb', false],
  ['\u{1f9ef}*', '\u{1f9ef}\u{1f9ef}', true],
  ['*', 'new\nline', true],
])('%j and %j: %s', (pattern, path, expected) => {
  expect(createPatternMatcher([pattern])(Buffer.from(path))).toBe(expected)
})

test('names that are not UTF-8 are matched byte by byte', () => {
  const matches = createPatternMatcher(['?x', 'y*'])
  expect(matches(Buffer.from([0xff, 0x78]))).toBe(true)
  expect(matches(Buffer.from([0x79, 0xff, 0xfe]))).toBe(true)
})

test('no patterns match nothing, any of several is enough', () => {
  expect(createPatternMatcher([])(Buffer.from('x'))).toBe(false)
  expect(createPatternMatcher(['a', 'b'])(Buffer.from('b'))).toBe(true)
})
