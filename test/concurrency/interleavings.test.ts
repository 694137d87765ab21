import { randomBytes } from 'node:crypto'
import { it } from 'vitest'
import { expectSeen, prove } from './prove.ts'

const seed = process.env.HOLDFAST_SEED ?? randomBytes(4).toString('hex')

it(`lets no harm come to what was accepted, whoever dies or sleeps (HOLDFAST_SEED=${seed})`, {
  timeout: 300_000,
}, async () => {
  const seen = await prove(100, seed)
  expectSeen(seen, ['accepted', 'retired', 'deleted', 'restored', 'death', 'freeze', 'given up'])
})
