// New index files for old: without the packs that are given up, and few instead of many.
import type { Id, Random } from './id.ts'
import type { BlobIndex } from './index.ts'
import { encodeIndex, fullIndex, type IndexedPack } from './index-file.ts'
import type { PackTable } from './prune-packs.ts'
import type { Repository } from './repository.ts'
import { sealUnpacked } from './unpacked.ts'
import type { IndexFile } from './writer.ts'

/** An index file below this many bytes is small. */
export const smallIndexFile = 1024 * 1024
/** Up to so many small ones are left as they are: each costs a start one request, once. */
const fewSmall = 10

/**
 * The index files to be replaced: those that list a pack that goes, those that share a pack with another, and the
 * small ones if there are many. `sizes`: bytes of every index file in the store.
 */
export function replacedIndexes(options: {
  index: BlobIndex
  table: PackTable
  /** By the number of a pack. */
  goes: (pack: number) => boolean
  sizes: ReadonlyMap<Id, number>
}): Set<Id> {
  const { index, table, goes, sizes } = options
  const replaced = new Set<Id>()
  const used = new Set<Id>()
  for (const number of table.packs.keys()) {
    const files = table.filesOf(number)
    for (const file of files) used.add(file)
    if (goes(number) || files.length > 1) for (const file of files) replaced.add(file)
  }
  // A file that lists nothing serves nobody.
  for (const file of index.files) if (!used.has(file)) replaced.add(file)
  const small = [...index.files].filter((file) => (sizes.get(file) ?? 0) < smallIndexFile)
  const left = small.filter((file) => !replaced.has(file))
  if (left.length > fewSmall) for (const file of left) replaced.add(file)
  return replaced
}

/**
 * Index files of all packs in `replaced` ones that stay, and of `more`, of up to 50,000 blobs each; every pack in
 * exactly one. Made one at a time, because each is some megabytes.
 */
export function* newIndexFiles(options: {
  repository: Repository
  random: Random
  table: PackTable
  replaced: ReadonlySet<Id>
  goes: (pack: number) => boolean
  more: readonly IndexedPack[]
}): Generator<IndexFile> {
  const { repository, random, table, replaced, goes, more } = options
  let packs: IndexedPack[] = []
  let blobs = 0

  function seal(): IndexFile {
    const { id, bytes } = sealUnpacked(repository.masterKey, encodeIndex(packs), random)
    const file = { id, bytes, packs: packs.map((pack) => pack.id) }
    packs = []
    blobs = 0
    return file
  }
  function* stays(): Generator<IndexedPack> {
    for (const [number, { id }] of table.packs.entries()) {
      if (goes(number) || !table.filesOf(number).some((file) => replaced.has(file))) continue
      yield { id, blobs: table.blobsOf(number) }
    }
    yield* more
  }

  for (const pack of stays()) {
    if (packs.length > 0 && blobs + pack.blobs.length > fullIndex) yield seal()
    packs.push(pack)
    blobs += pack.blobs.length
  }
  if (packs.length > 0) yield seal()
}
