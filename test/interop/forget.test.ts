import { randomBytes } from 'node:crypto'
import { describe, it } from 'vitest'
import { compareWithForget } from './forget.ts'

describe('what is kept', () => {
  const seed = randomBytes(4).toString('hex')

  it(`is what stock restic forget keeps of 100 random sets, for the same reasons (seed ${seed})`, async () => {
    await compareWithForget(seed, 100, 4)
  }, 60_000)
})
