import { describe, expect, test } from 'vitest'
import { useRestic } from '../rig/parts.ts'
import { killAtRandom } from './kill-story.ts'

const restic = await useRestic()

describe.skipIf(restic.missing)('kill -9 at random moments', () => {
  test('a hundred times over leaves a clean repository, and one snapshot for each job', async () => {
    const { kills } = await killAtRandom(102)
    for (const count of Object.values(kills)) expect(count).toBeGreaterThan(10)
  }, 2_400_000)
})
