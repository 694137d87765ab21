import { randomBytes } from 'node:crypto'
import { describe, it } from 'vitest'
import { compareWithForget } from './forget.ts'

describe('what is kept', () => {
  const seed = randomBytes(4).toString('hex')

  it(`is what stock restic forget keeps of 1,000 random sets under 30 policies (seed ${seed})`, async () => {
    await compareWithForget(seed, 1_000, 30)
  }, 600_000)
})
