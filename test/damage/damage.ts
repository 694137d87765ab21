// One round of the proof: damage, verify, and compare what it says with what can really be restored.
import { createSeeded } from '../support/seeded.ts'
import { damageOne, namedBy, storeOf, unrestorable, verify, type World } from './world.ts'

export interface Round {
  readonly damage: readonly string[]
  /** As an error; or as a hint, where an index file went whose packs hold nothing that others do not hold too. */
  readonly found: boolean
  /** Files that cannot be restored. */
  readonly lost: number
  /** Files that cannot be restored and that the report does not name. */
  readonly unnamed: readonly string[]
  /** Files that the report names although they come back whole. */
  readonly libelled: readonly string[]
  readonly objects: Map<string, Buffer>
}

/** One to three damages; the same seed does the same ones. */
export async function damageAndVerify(world: World, seed: string): Promise<Round> {
  const seeded = createSeeded(seed)
  const objects = new Map(world.objects)
  const times = seeded.pick([1, 1, 1, 2, 3])
  const damage = Array.from({ length: times }, () => damageOne(objects, seeded))
  // Two that changed places twice are where they were.
  while (isWhole(world, objects)) damage.push(damageOne(objects, seeded))
  const store = storeOf(objects)
  const report = await verify(world, store)
  const named = namedBy(world, report)
  const lost = await unrestorable(world, store)
  return {
    damage,
    found: !report.ok || (indexGone(world, objects) && report.hints > 0),
    lost: lost.size,
    unnamed: [...lost].filter((file) => !named.has(file)),
    libelled: [...named].filter((file) => !lost.has(file)),
    objects,
  }
}

function indexGone(world: World, objects: ReadonlyMap<string, Buffer>): boolean {
  return [...world.objects.keys()].some((key) => key.startsWith('index/') && !objects.has(key))
}

function isWhole(world: World, objects: ReadonlyMap<string, Buffer>): boolean {
  return [...world.objects].every(([key, bytes]) => objects.get(key)?.equals(bytes))
}
