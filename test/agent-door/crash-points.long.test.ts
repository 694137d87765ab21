import { describe, expect, it } from 'vitest'
import { dieAt } from './crash-points.ts'
import { useRig } from './rig.ts'

const rig = useRig()

describe.each(['before', 'after'] as const)('a control plane that dies %s', (form) => {
  it('any write or store call of a host’s whole way goes on where it was', {
    timeout: 600_000,
  }, async () => {
    let at = 0
    while (await dieAt(rig, at, form)) at++
    expect(at).toBeGreaterThan(30)
  })
})
