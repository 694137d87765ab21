import { describe, expect, it } from 'vitest'
import { readRange } from './range.ts'

describe('Range', () => {
  it.each([
    [undefined, 'whole'],
    ['bytes=0-0', { from: 0, to: 1 }],
    ['bytes=10-19', { from: 10, to: 20 }],
    ['bytes=95-200', { from: 95, to: 100 }],
    ['bytes=99-', { from: 99, to: 100 }],
    ['bytes=-5', { from: 95, to: 100 }],
    ['bytes=-500', { from: 0, to: 100 }],
    ['bytes=-0', 'none'],
    ['bytes=100-', 'none'],
    ['bytes=100-100', 'none'],
    ['bytes=-', 'whole'],
    ['bytes=5-4', 'whole'],
    ['bytes=0-1,5-6', 'whole'],
    ['bytes = 0-1', 'whole'],
    ['items=0-1', 'whole'],
    ['bytes=0x0-1', 'whole'],
    ['bytes=99999999999999999999-', 'whole'],
  ])('%j of 100 bytes is %j', (header, expected) => {
    expect(readRange(header, 100)).toEqual(expected)
  })
})
