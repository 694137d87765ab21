import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { allRules } from './model-plane.ts'
import { expectSeen, prove } from './prove.ts'

const seed = process.env.HOLDFAST_SEED ?? randomBytes(4).toString('hex')

it(`lets no harm come to what was accepted, in 10,000 interleavings (HOLDFAST_SEED=${seed})`, {
  timeout: 4 * 3_600_000,
}, async () => {
  const seen = await prove(10_000, seed)
  expectSeen(seen, [
    'accepted',
    'retired',
    'deleted',
    'restored',
    'death',
    'freeze',
    'given up',
    'foreign backup',
    'commit epoch-stale',
  ])
})

// The control plane's rules are switched off one by one: what they keep away is found, so it would be seen.
it.each(['epoch', 'guards'] as const)(
  'finds harm without the rule of %s',
  {
    timeout: 1_800_000,
  },
  async (rule) => {
    await expect(prove(1_000, seed, { ...allRules, [rule]: false })).rejects.toThrow('HARM')
  },
)
