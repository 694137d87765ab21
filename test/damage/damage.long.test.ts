// More than a thousand random damages: each found, each harmed file named, all others restorable. What stock restic
// finds of a sample is printed beside it.
import { randomInt } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'
import { createRestic } from '../rig/restic.ts'
import { damageAndVerify } from './damage.ts'
import { makeWorld } from './world.ts'

const worlds = 8
const roundsEach = 250
/** Every so many rounds stock restic looks too: it asks for damaged objects again and again, some 15 s. */
const resticEvery = 100
const seed = process.env.HOLDFAST_SEED ?? String(randomInt(2 ** 32))

test(`${worlds * roundsEach} random damages are found, and exactly the files they harm are named`, async () => {
  console.log(`HOLDFAST_SEED=${seed} does the same damages again`)
  const told = { rounds: 0, harmless: 0, lostFiles: 0, askedRestic: 0, foundByRestic: 0 }
  const missedByRestic: string[] = []
  for (let w = 0; w < worlds; w++) {
    const world = await makeWorld(`${seed} ${w}`)
    for (let round = 0; round < roundsEach; round++) {
      const ran = await damageAndVerify(world, `${seed} ${w} ${round}`)
      const { damage, found, unnamed, libelled } = ran
      expect({ damage, found, unnamed, libelled }).toEqual({
        damage,
        found: true,
        unnamed: [],
        libelled: [],
      })
      told.rounds++
      told.lostFiles += ran.lost
      if (ran.lost === 0) told.harmless++
      if (round % resticEvery !== 0) continue
      told.askedRestic++
      if (await resticFinds(ran.objects, world.password)) told.foundByRestic++
      else missedByRestic.push(damage.join('; ').replaceAll(/([0-9a-f]{8})[0-9a-f]{56}/g, '$1'))
    }
  }
  console.log(told, 'not found by restic:', missedByRestic)
  // Damage that harms nobody and damage that harms many both came up, or this proves less than it says.
  expect(told.harmless).toBeGreaterThan(told.rounds / 20)
  expect(told.lostFiles).toBeGreaterThan(told.rounds)
}, 1_800_000)

async function resticFinds(
  objects: ReadonlyMap<string, Buffer>,
  password: string,
): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-damage-'))
  const repository = join(folder, 'repository')
  for (const kind of ['data', 'index', 'snapshots', 'keys', 'locks']) {
    mkdirSync(join(repository, kind), { recursive: true })
  }
  for (const [key, bytes] of objects) {
    const path = join(repository, key)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
  }
  const restic = createRestic({ repository, password })
  try {
    await restic.check({ readData: true, noLock: true })
    return false
  } catch {
    return true
  } finally {
    restic.close()
    rmSync(folder, { recursive: true, force: true })
  }
}
