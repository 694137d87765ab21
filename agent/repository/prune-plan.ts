// What a prune would do: which packs nothing needs, which are worth writing anew, and what that frees.
import type { BlobType, PackedBlob } from './blob.ts'
import { damaged } from './errors.ts'
import { packTarget } from './pack.ts'
import type { BlobMarks } from './prune-marks.ts'
import type { PackTable } from './prune-packs.ts'

/** Packs below this many bytes count as small: a quarter of what a pack should have. */
const smallPack = packTarget / 4
/** So many small packs of one type are worth merging; fewer are what every backup leaves. */
const manySmall = 10
/** A pack beyond this size in bytes is never written anew: its heirs would be too many to name. */
const largestRepacked = 512 * 1024 * 1024
/** A pack whose needed blobs all lie elsewhere too is given up only if no more packs than this hold them. */
const mostKeepers = 16
/** Packs looked at before the event loop gets a turn: some ten thousand blobs. */
const packsPerTurn = 64

/**
 * `keep`: stays as it is. `unreferenced`: nothing needs it. `repack`: its needed blobs go into new packs.
 * `missing`: listed, not stored, and not needed.
 */
export type PackFate = 'keep' | 'unreferenced' | 'repack' | 'missing'

export interface PruneLimits {
  /** Bytes of packs that may be written anew; 0: none. */
  readonly maxRepackBytes: number
  /** Share of unneeded bytes in what stays that is no trouble, in percent. */
  readonly maxUnusedPercent: number
}

export interface Amount {
  packs: number
  /** Of the packs, or of the blobs where there are no packs. */
  bytes: number
}

/** As restic's prune sums up. */
export interface PruneSummary {
  readonly listed: Amount
  /** Blobs that snapshots need, each once. */
  readonly needed: { readonly blobs: number; readonly bytes: number }
  readonly unreferenced: Amount
  /** To be written anew, and how many bytes of theirs are needed by nothing. */
  readonly repack: Amount & { readonly unused: number }
  /** Stored and in no index file. */
  readonly unlisted: Amount
  /** Listed, not stored, not needed. */
  readonly missing: Amount
  /** Unneeded bytes in packs that stay. */
  readonly unusedAfter: number
}

export interface PrunePlan {
  readonly fates: readonly PackFate[]
  /** Packs to be written anew, those that free most for their size first, then small ones. */
  readonly repack: readonly number[]
  readonly summary: PruneSummary
}

/**
 * Decide the fate of every listed pack, and name in `marks` the one pack that keeps each needed blob. Rejects with
 * `damaged` if a needed blob lies in no whole pack: taking anything away would make a repair harder.
 */
export async function planPrune(options: {
  table: PackTable
  marks: BlobMarks
  limits: PruneLimits
  turn: () => Promise<void>
}): Promise<PrunePlan> {
  const { table, marks, limits, turn } = options
  await chooseKeepers(table, marks, turn)

  const fates: PackFate[] = []
  const used: number[] = []
  const unused: number[] = []
  const needed = { blobs: 0, bytes: 0 }
  for (const [number, pack] of table.packs.entries()) {
    if (number % packsPerTurn === 0) await turn()
    used[number] = 0
    unused[number] = 0
    const keepers = new Set<number>()
    for (const blob of table.blobsOf(number)) {
      const keeper = keeperOf(marks, blob)
      if (keeper === number) {
        used[number] += blob.length
        needed.blobs++
        needed.bytes += blob.length
      } else {
        unused[number] += blob.length
        if (keeper !== undefined) keepers.add(keeper)
      }
    }
    if (pack.state === 'missing') fates[number] = 'missing'
    else if (used[number]! > 0 || keepers.size > mostKeepers) fates[number] = 'keep'
    else fates[number] = 'unreferenced'
  }
  const repack = chooseRepacked(table, fates, used, unused, limits)
  for (const number of repack) fates[number] = 'repack'

  const amount = (fate: PackFate): Amount => {
    const packs = table.packs.filter((_, number) => fates[number] === fate)
    return { packs: packs.length, bytes: packs.reduce((sum, { bytes }) => sum + bytes, 0) }
  }
  const sumOf = (of: readonly number[], fate: PackFate) =>
    of.reduce((sum, bytes, number) => (fates[number] === fate ? sum + bytes : sum), 0)
  return {
    fates,
    repack,
    summary: {
      listed: {
        packs: table.packs.length,
        bytes: table.packs.reduce((sum, { bytes }) => sum + bytes, 0),
      },
      needed,
      unreferenced: amount('unreferenced'),
      repack: { ...amount('repack'), unused: sumOf(unused, 'repack') },
      unlisted: {
        packs: table.unlisted.length,
        bytes: table.unlisted.reduce((sum, { bytes }) => sum + bytes, 0),
      },
      missing: amount('missing'),
      unusedAfter: sumOf(unused, 'keep'),
    },
  }
}

function keeperOf(marks: BlobMarks, { type, id }: PackedBlob): number | undefined {
  return marks.keeperOf(marks.numberOf(type, id))
}

/**
 * Each needed blob is kept by one pack. Where there is a choice, by one that stays for other blobs anyway, then by
 * one with little else in it: so that what a broken repack stored twice is given up in one piece.
 */
async function chooseKeepers(
  table: PackTable,
  marks: BlobMarks,
  turn: () => Promise<void>,
): Promise<void> {
  const repeated = new Set<number>()
  for (const [number, { state }] of table.packs.entries()) {
    if (number % packsPerTurn === 0) await turn()
    if (state !== 'whole') continue
    for (const { type, id } of table.blobsOf(number)) {
      const blob = marks.numberOf(type, id)
      if (!marks.isNeeded(blob)) continue
      const keeper = marks.keeperOf(blob)
      if (keeper === undefined) marks.keep(blob, number)
      else if (keeper !== number) repeated.add(blob)
    }
  }
  let lost = 0
  for (const _ of marks.orphans()) lost++
  if (lost > 0) {
    throw damaged(`${lost} blobs that snapshots need are only in packs that are missing or damaged`)
  }
  if (repeated.size === 0) return

  const candidates: { number: number; alone: number; shared: number; rest: number }[] = []
  for (const [number, { state }] of table.packs.entries()) {
    if (number % packsPerTurn === 0) await turn()
    if (state !== 'whole') continue
    const bytes = { number, alone: 0, shared: 0, rest: 0 }
    for (const blob of table.blobsOf(number)) {
      const known = marks.numberOf(blob.type, blob.id)
      if (repeated.has(known)) bytes.shared += blob.length
      else if (marks.isNeeded(known)) bytes.alone += blob.length
      else bytes.rest += blob.length
    }
    if (bytes.shared > 0) candidates.push(bytes)
  }
  const share = ({ shared, rest }: { shared: number; rest: number }) => rest / (shared + rest)
  candidates.sort((a, b) => {
    const stays = Number(b.alone > 0) - Number(a.alone > 0)
    return stays || share(a) - share(b) || b.shared - a.shared
  })
  for (const { number } of candidates) {
    for (const { type, id } of table.blobsOf(number)) {
      const blob = marks.numberOf(type, id)
      if (repeated.delete(blob)) marks.keep(blob, number)
    }
  }
}

/** Which packs to write anew: those that waste most, until little enough is wasted; then the many small ones. */
function chooseRepacked(
  table: PackTable,
  fates: readonly PackFate[],
  used: readonly number[],
  unused: readonly number[],
  { maxRepackBytes, maxUnusedPercent }: PruneLimits,
): number[] {
  const kept = table.packs.flatMap((_, number) => (fates[number] === 'keep' ? [number] : []))
  let budget = maxRepackBytes
  const chosen = new Set<number>()
  const take = (number: number): boolean => {
    const { bytes } = table.packs[number]!
    if (bytes > budget) return false
    budget -= bytes
    chosen.add(number)
    return true
  }
  const possible = kept.filter((number) => {
    const { bytes, state, type } = table.packs[number]!
    return state === 'whole' && type !== undefined && bytes <= largestRepacked && used[number]! > 0
  })

  let wasted = kept.reduce((sum, number) => sum + unused[number]!, 0)
  const worth = kept.reduce((sum, number) => sum + used[number]!, 0)
  const tolerated =
    maxUnusedPercent >= 100
      ? Number.POSITIVE_INFINITY
      : (worth * maxUnusedPercent) / (100 - maxUnusedPercent)
  const wastes = (number: number) => unused[number]! / (used[number]! + unused[number]!)
  const worst = possible
    .filter((number) => unused[number]! > 0)
    .sort((a, b) => wastes(b) - wastes(a))
  for (const number of worst) {
    if (wasted <= tolerated) break
    if (take(number)) wasted -= unused[number]!
  }

  for (const type of ['data', 'tree'] satisfies BlobType[]) {
    const small = possible.filter((number) => {
      const pack = table.packs[number]!
      return pack.type === type && pack.bytes < smallPack && !chosen.has(number)
    })
    if (small.length < manySmall) continue
    small.sort((a, b) => table.packs[a]!.bytes - table.packs[b]!.bytes)
    for (const number of small) take(number)
  }
  return [...chosen]
}
