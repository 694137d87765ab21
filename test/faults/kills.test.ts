import { describe, expect, test } from 'vitest'
import { useRestic } from '../rig/parts.ts'
import { killAtRandom } from './kill-story.ts'

const restic = await useRestic()

describe.skipIf(restic.missing)('kill -9 at random moments', () => {
  test('ten times over leaves a clean repository, and one snapshot for each job', async () => {
    const { kills } = await killAtRandom(10)
    expect(kills.mover + kills.agent + kills.plane).toBe(10)
  }, 300_000)
})
