// Which packs a check reads whole: all, none, or a part of them as restic's --read-data-subset has it.
import type { Id, Random } from './id.ts'

/** A part of a repository's data. */
export type DataSubset =
  /** The packs whose id's first byte leaves `part` − 1 when divided by `of`: in `of` runs all are read, as with restic. */
  | { readonly part: number; readonly of: number }
  /** This share of the packs, chosen at random; at least one. */
  | { readonly percent: number }
  /** Packs chosen at random until they have this many bytes together. */
  | { readonly bytes: number }
  /** All packs that hold something of one snapshot; `random`: of any. */
  | { readonly snapshot: Id | 'random' }

/** True: every pack. False: none. */
export type ReadData = boolean | DataSubset

/** A number from 0 to below `below`. */
export function randomBelow(random: Random, below: number): number {
  return Math.floor((random(6).readUIntBE(0, 6) / 2 ** 48) * below)
}

/** The packs to be read, out of `packs` with their sizes in bytes; of one snapshot is decided elsewhere. */
export function choosePacks(
  packs: ReadonlyMap<Id, number>,
  wanted: Exclude<ReadData, { snapshot: unknown }>,
  random: Random,
): Id[] {
  const all = [...packs.keys()]
  if (wanted === false) return []
  if (wanted === true) return all
  if ('part' in wanted) {
    const { part, of } = wanted
    return all.filter((id) => Number.parseInt(id.slice(0, 2), 16) % of === part - 1)
  }
  const shuffled = shuffle(all, random)
  if ('percent' in wanted) {
    const count = Math.floor((all.length * wanted.percent) / 100)
    return shuffled.slice(0, Math.max(1, count))
  }
  let bytes = 0
  const enough = shuffled.findIndex((id) => {
    bytes += packs.get(id)!
    return bytes >= wanted.bytes
  })
  return enough < 0 ? shuffled : shuffled.slice(0, enough + 1)
}

function shuffle(ids: readonly Id[], random: Random): Id[] {
  const shuffled = [...ids]
  for (let i = shuffled.length - 1; i > 0; i--) {
    const other = randomBelow(random, i + 1)
    ;[shuffled[i], shuffled[other]] = [shuffled[other]!, shuffled[i]!]
  }
  return shuffled
}
