import { expect, it } from 'vitest'
import { dieInPruneAt } from './prune-crash-points.ts'
import { useRig } from './rig.ts'

const rig = useRig()

// Every point: prune-crash-points.long.test.ts. Here one in seven, in turns before and after it happened.
it('a control plane that dies in a prune goes on where it was', { timeout: 60_000 }, async () => {
  let died = 0
  for (let at = 1; await dieInPruneAt(rig, at, at % 2 === 1 ? 'after' : 'before'); at += 7) died++
  expect(died).toBeGreaterThan(3)
})
