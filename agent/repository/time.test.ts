import fc from 'fast-check'
import { expect, test } from 'vitest'
import { formatTime, fromMilliseconds, parseTime, zeroTime } from './time.ts'

test('prints as Go does, with as few digits as say it all', () => {
  expect(formatTime(1_700_000_000_100_000_000n)).toBe('2023-11-14T22:13:20.1Z')
  expect(formatTime(1_700_000_000_000_000_000n)).toBe('2023-11-14T22:13:20Z')
  expect(formatTime(-876_543_211n)).toBe('1969-12-31T23:59:59.123456789Z')
  expect(formatTime(0n)).toBe('1970-01-01T00:00:00Z')
  expect(formatTime(zeroTime)).toBe('0001-01-01T00:00:00Z')
  expect(formatTime(1n)).toBe('1970-01-01T00:00:00.000000001Z')
})

test('clamps years that RFC 3339 cannot hold, keeping month and time of day', () => {
  expect(formatTime(BigInt(Date.UTC(12_345, 5, 6, 7, 8, 9)) * 1_000_000n)).toBe(
    '9999-06-06T07:08:09Z',
  )
  expect(formatTime(BigInt(Date.UTC(-50, 5, 6, 7, 8, 9)) * 1_000_000n)).toBe('0000-06-06T07:08:09Z')
})

test('any time of a year in range comes back to the nanosecond', () => {
  const least = BigInt(Date.parse('0000-01-01T00:00:00Z')) * 1_000_000n
  const most = BigInt(Date.parse('9999-12-31T23:59:59Z')) * 1_000_000n
  fc.assert(
    fc.property(fc.bigInt({ min: least, max: most }), (time) => {
      expect(parseTime(formatTime(time), 't')).toBe(time)
    }),
    { numRuns: 3000 },
  )
})

test('understands zones and cuts off digits beyond nanoseconds', () => {
  const utc = parseTime('2023-11-14T22:13:20.1Z', 't')
  expect(parseTime('2023-11-14T23:13:20.1+01:00', 't')).toBe(utc)
  expect(parseTime('2023-11-14T16:43:20.100-05:30', 't')).toBe(utc)
  expect(parseTime('2023-11-14T22:13:20.1000000009+00:00', 't')).toBe(utc)
  expect(parseTime(undefined, 't')).toBe(zeroTime)
})

test('refuses what is no time', () => {
  const bad = [
    '',
    'now',
    '2023-13-01T00:00:00Z',
    '2023-01-01T24:00:00Z',
    '2023-01-01 00:00:00Z',
    '2023-01-01T00:00:00',
    5,
    {},
  ]
  for (const value of bad) expect(() => parseTime(value, 't')).toThrow('RFC 3339')
})

test('milliseconds become nanoseconds', () => {
  expect(fromMilliseconds(1.9)).toBe(1_000_000n)
})
