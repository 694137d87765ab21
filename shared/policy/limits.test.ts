import { describe, expect, it } from 'vitest'
import { limits, strictest } from '../backup/limits.ts'
import { limitsDocument, limitsOf, parseSize } from './limits.ts'

describe('sizes', () => {
  it('are read with powers of 1024, with or without a unit', () => {
    expect(['1', '512K', '10M', '1.5G', '2 GiB', '3tb', '0'].map(parseSize)).toEqual([
      1,
      524_288,
      10_485_760,
      1_610_612_736,
      2_147_483_648,
      3 * 2 ** 40,
      0,
    ])
    for (const text of ['', 'M', '-1', '1X', '1e9', '10Mbit', '1,5G']) {
      expect(parseSize(text)).toBeUndefined()
    }
  })
})

describe('limits of a policy', () => {
  it('become numbers, and stay absent where they are', () => {
    const document = limitsDocument.parse({
      memory: '400M',
      upload: 1_000_000,
      nice: 15,
      io: 'idle',
    })
    const numbers = limitsOf(document)
    expect(numbers).toEqual({ memory: 419_430_400, upload: 1_000_000, nice: 15, io: 'idle' })
    expect(limits.parse(numbers)).toEqual(numbers)
    expect(limitsOf(undefined)).toEqual({})
  })

  it('refuse what would never work', () => {
    for (const bad of [
      { memory: '1M' },
      { upload: '10' },
      { upload: 'fast' },
      { nice: -5 },
      { nice: 20 },
      { workers: 0 },
      { io: 'realtime' },
      { jobsAtOnce: 0 },
      { cpu: 2 },
    ]) {
      expect(limitsDocument.safeParse(bad).success).toBe(false)
    }
  })

  it('of several count as the one that allows least, each limit by itself', () => {
    expect(
      strictest(
        { upload: 10, nice: 5, io: 'best-effort', workers: 4 },
        { upload: 20, nice: 15, memory: 100 },
        { io: 'idle', jobsAtOnce: 2 },
      ),
    ).toEqual({ workers: 4, nice: 15, io: 'idle', memory: 100, upload: 10, jobsAtOnce: 2 })
    expect(strictest({}, {})).toEqual({})
  })
})
