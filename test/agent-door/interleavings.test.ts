import { it } from 'vitest'
import { checkInterleavings } from './interleavings.ts'
import { useRig } from './rig.ts'

const rig = useRig()

// Always the same scripts; new ones at each run: interleavings.long.test.ts.
it('makes one snapshot per job at most, by the attempt that owned it', { timeout: 120_000 }, () =>
  checkInterleavings(rig, { numRuns: 12, seed: 7 }),
)
