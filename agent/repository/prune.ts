// A prune from the engine's side: look, plan, carry over, and say what may go. It removes nothing itself: the caller
// stores the new index files, has the replaced ones removed, and only then lets packs be deleted.
import { RepositoryError } from './errors.ts'
import type { Clock, Id, Random } from './id.ts'
import type { BlobIndex } from './index.ts'
import type { IndexedPack } from './index-file.ts'
import { encodeIndex } from './index-file.ts'
import type { Pack } from './pack.ts'
import { newIndexFiles, replacedIndexes } from './prune-indexes.ts'
import { markNeeded } from './prune-marks.ts'
import { createPackTable, type PackTable } from './prune-packs.ts'
import { type PruneLimits, type PrunePlan, planPrune } from './prune-plan.ts'
import { type Repacked, Repacker } from './prune-repack.ts'
import { findInUnlisted, type ReadPart } from './prune-rescue.ts'
import type { RepositoryReader } from './reader.ts'
import type { Repository } from './repository.ts'
import { nextTurn } from './turn.ts'
import { sealUnpacked } from './unpacked.ts'
import type { IndexFile } from './writer.ts'

/** A pack's heirs that can be named; one with more stays. */
const mostHeirs = 64

export interface PruneOptions {
  readonly repository: Repository
  /** What all live index files list; what is rescued is added. */
  readonly index: BlobIndex
  /** Bytes of each live index file. */
  readonly indexSizes: ReadonlyMap<Id, number>
  /** Bytes of each pack in the store, listed after the index. */
  readonly packs: ReadonlyMap<Id, number>
  /** Root trees of all live snapshots, those of other programs included. */
  readonly roots: readonly Id[]
  /** Packs that may be needed again and yet inherit from no other for now: somebody still means to delete them. */
  readonly noHeirs?: ReadonlySet<Id>
  readonly reader: Pick<RepositoryReader, 'loadTree'>
  readonly read: ReadPart
  readonly random: Random
  readonly clock: Clock
  readonly onPack: (pack: Pack) => Promise<void>
  readonly onIndex: (file: IndexFile) => Promise<void>
  readonly limits: PruneLimits
  readonly signal: AbortSignal
  readonly onTree?: (done: number) => void
}

export interface CondemnedPack {
  readonly id: Id
  readonly bytes: number
  /** Packs that hold what snapshots still need of it; empty if they need nothing. */
  readonly heirs: readonly Id[]
}

/** What a prune leaves to its caller, once everything in it is stored. */
export interface PruneResult {
  /** To be removed: all that is needed of them is listed in new ones. */
  readonly replacedIndexes: readonly Id[]
  /** In no index file once the replaced ones are gone. */
  readonly condemned: readonly CondemnedPack[]
  /** Packs that were not written anew because they are damaged. */
  readonly damaged: number
}

/** A prune that was planned. */
export interface Prune {
  readonly table: PackTable
  readonly plan: PrunePlan
  /** Trees that were walked. */
  readonly trees: number
  /** Packs in no index file that are listed again, because a snapshot needs them. */
  readonly rescued: readonly Id[]
  /**
   * Write packs anew as planned, as long as `goOn` says so, then store the new index files. When this resolves,
   * all that is needed is stored and listed twice or in new places, and the old is still there.
   */
  carryOut(goOn: (done: number, of: number) => boolean): Promise<PruneResult>
}

/**
 * Look at everything and plan. Rejects with `damaged` if a tree cannot be read or a needed blob is nowhere: what
 * is broken is repaired first. Writes only what it rescues.
 */
export async function preparePrune(options: PruneOptions): Promise<Prune> {
  const { repository, index, limits, signal } = options
  const turn = async () => {
    await nextTurn()
    signal.throwIfAborted()
  }
  const indexSizes = new Map(options.indexSizes)
  const rescued: Id[] = []
  for (;;) {
    const { marks, trees, missing } = await markNeeded(options)
    const table = await createPackTable({ index, stored: options.packs, turn })
    if (missing.length > 0) {
      const found = await findInUnlisted({ ...options, unlisted: table.unlisted, missing })
      if (found.length === 0) {
        const count = missing.length
        throw new RepositoryError('unknown-blob', `${count} blobs that snapshots need are nowhere`)
      }
      const file = await listAgain(options, found)
      indexSizes.set(file.id, file.bytes.length)
      rescued.push(...file.packs)
      continue
    }
    const plan = await planPrune({ table, marks, limits, turn })
    return {
      table,
      plan,
      trees,
      rescued,
      async carryOut(goOn) {
        const repacker = new Repacker({ ...options, table, marks })
        for (const [done, pack] of plan.repack.entries()) {
          signal.throwIfAborted()
          if (!goOn(done, plan.repack.length)) break
          await repacker.repack(pack)
        }
        const repacked = await repacker.finish()
        const condemned = condemn(repacked)
        const goes = (pack: number) => table.packs[pack]!.state === 'missing' || condemned.has(pack)
        const replaced = replacedIndexes({ index, table, goes, sizes: indexSizes })
        const more = repacked.unlisted
        if (replaced.size > 0 || more.length > 0) {
          const files = newIndexFiles({ ...options, repository, table, replaced, goes, more })
          for (const file of files) {
            signal.throwIfAborted()
            await options.onIndex(file)
          }
        }
        return {
          replacedIndexes: [...replaced],
          condemned: [...condemned.values()],
          damaged: repacked.damaged.length,
        }
      },
    }

    function condemn({ heirs }: Repacked): Map<number, CondemnedPack> {
      const condemned = new Map<number, CondemnedPack>()
      for (const [number, { id, bytes }] of table.packs.entries()) {
        const fate = plan.fates[number]
        const given = fate === 'unreferenced' || (fate === 'repack' && heirs.has(number))
        if (!given) continue
        const own = new Set<Id>()
        for (const blob of table.blobsOf(number)) {
          const keeper = marks.keeperOf(marks.numberOf(blob.type, blob.id))
          if (keeper === undefined) continue
          const moved = heirs.get(keeper)
          if (moved === undefined) own.add(table.packs[keeper]!.id)
          else for (const heir of moved) own.add(heir)
        }
        const doomed = [...own].some((heir) => options.noHeirs?.has(heir))
        if (doomed || own.size > mostHeirs) continue
        condemned.set(number, { id, bytes, heirs: [...own] })
      }
      return condemned
    }
  }
}

/** Packs that a snapshot needs and no index file lists are listed again before anything else happens. */
async function listAgain(
  { repository, index, random, onIndex }: PruneOptions,
  packs: readonly IndexedPack[],
): Promise<IndexFile> {
  const { id, bytes } = sealUnpacked(repository.masterKey, encodeIndex(packs), random)
  const file = { id, bytes, packs: packs.map((pack) => pack.id) }
  await onIndex(file)
  // If we die here the packs are listed, which is what they should be.
  index.addFile(id, packs)
  return file
}
