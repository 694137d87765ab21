import { randomInt } from 'node:crypto'
import { expect, test } from 'vitest'
import { damageAndVerify } from './damage.ts'
import { makeWorld, storeOf, unrestorable, verify } from './world.ts'

const rounds = 60
const seed = process.env.HOLDFAST_SEED ?? String(randomInt(2 ** 32))

test('without damage nothing is found, and every file comes back', async () => {
  const world = await makeWorld(seed)
  const store = storeOf(new Map(world.objects))
  expect(await verify(world, store)).toMatchObject({ ok: true, hints: 0, harm: { entries: 0 } })
  expect(await unrestorable(world, store)).toEqual(new Set())
})

test(`${rounds} random damages are found, and exactly the files they harm are named`, async () => {
  console.log(`HOLDFAST_SEED=${seed} does the same damages again`)
  const world = await makeWorld(seed)
  for (let round = 0; round < rounds; round++) {
    const { damage, found, unnamed, libelled } = await damageAndVerify(world, `${seed} ${round}`)
    expect({ damage, found, unnamed, libelled }).toEqual({
      damage,
      found: true,
      unnamed: [],
      libelled: [],
    })
  }
}, 120_000)
