import { expect, it } from 'vitest'
import { dieAt } from './crash-points.ts'
import { useRig } from './rig.ts'

const rig = useRig()

// Every point: crash-points.long.test.ts. Here one in six, in turns before and after it happened.
it('a control plane that dies between two writes goes on where it was', {
  timeout: 60_000,
}, async () => {
  let died = 0
  for (let at = 1; await dieAt(rig, at, at % 12 === 1 ? 'after' : 'before'); at += 6) died++
  expect(died).toBeGreaterThan(4)
})
