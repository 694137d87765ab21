import { it } from 'vitest'
import { checkInterleavings } from './interleavings.ts'
import { useRig } from './rig.ts'

const rig = useRig()

it('makes one snapshot per job at most, by the attempt that owned it', { timeout: 600_000 }, () =>
  checkInterleavings(rig, { numRuns: 150 }),
)
