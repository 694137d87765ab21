import { expect, it } from 'vitest'
import { dieInPruneAt } from './prune-crash-points.ts'
import { useRig } from './rig.ts'

const rig = useRig()

it.each(['before', 'after'] as const)(
  'a control plane that dies %s any write or store call of a prune goes on where it was',
  { timeout: 600_000 },
  async (form) => {
    let at = 0
    while (await dieInPruneAt(rig, at, form)) at++
    expect(at).toBeGreaterThan(25)
  },
)
