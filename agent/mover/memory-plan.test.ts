import { describe, expect, it } from 'vitest'
import { JobFailure } from './job-failure.ts'
import { planMemory } from './memory-plan.ts'

const MIB = 2 ** 20
const plan = (memory: number | undefined, blobs = 0, workers?: number, cores = 4) =>
  planMemory({ memory: memory === undefined ? undefined : memory * MIB, blobs, workers, cores })

describe('a memory plan', () => {
  it('is the usual one without a limit', () => {
    expect(plan(undefined)).toEqual({ uploads: 3, workers: 4 })
    expect(plan(undefined, 0, 2)).toEqual({ uploads: 3, workers: 2 })
    expect(plan(undefined, 0, undefined, 1)).toEqual({ uploads: 3, workers: 1 })
  })

  it('takes packs and threads away as memory gets short, and more packs where there is plenty', () => {
    expect(plan(210)).toEqual({ uploads: 1, workers: 0 })
    expect(plan(260)).toEqual({ uploads: 2, workers: 1 })
    expect(plan(340)).toEqual({ uploads: 2, workers: 4 })
    expect(plan(1024).uploads).toBe(16)
    for (let memory = 210; memory < 600; memory++) {
      const { uploads, workers } = plan(memory)
      expect(192 + uploads * 18 + workers * 28).toBeLessThanOrEqual(memory)
    }
  })

  it('says how much is needed where nothing fits, the index counted', () => {
    expect(() => plan(209)).toThrow(JobFailure)
    expect(() => plan(256, 10_000_000)).toThrow(
      '821 MiB are needed with an index of 10000000 blobs, 256 MiB are allowed',
    )
  })
})
