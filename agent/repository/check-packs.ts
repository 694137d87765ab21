// Checking packs without reading them: what index files say of each, and what is stored.
import type { PackedBlob } from './blob.ts'
import type { ProblemList } from './check-report.ts'
import type { Id } from './id.ts'
import type { BlobIndex, BlobShape, IndexListing } from './index.ts'
import { packSize } from './pack-header.ts'

const byOffset = (a: PackedBlob, b: PackedBlob) => a.offset - b.offset

/**
 * Every pack the index lists, and the size in bytes that its blobs make it. Blobs themselves are not kept: a
 * repository has too many of them.
 */
export interface ListedPacks {
  readonly sizes: ReadonlyMap<Id, number>
  /** All listed blobs of a pack by offset, those of several index files taken together. */
  blobsOf(pack: Id): PackedBlob[]
  /** The pack as each index file lists it. */
  listingsOf(pack: Id): IndexListing[]
}

/** Compare what index files say of each pack, and find gaps between its blobs. */
export function checkListings(index: BlobIndex, problems: ProblemList): ListedPacks {
  const sizes = new Map<Id, number>()
  const first = new Map<Id, number>()
  const more = new Map<Id, number[]>() // further listings of a pack: rarely any

  for (let number = 0; number < index.listingCount; number++) {
    const pack = index.listedPack(number)
    if (pack === undefined) continue
    if (first.has(pack)) more.set(pack, [...(more.get(pack) ?? []), number])
    else first.set(pack, number)
  }

  const listingsOf = (pack: Id) => {
    const numbers = first.has(pack) ? [first.get(pack)!, ...(more.get(pack) ?? [])] : []
    return numbers.flatMap((number) => index.listing(number) ?? [])
  }
  const blobsOf = (pack: Id) =>
    listingsOf(pack)
      .map(({ blobs }) => blobs.toSorted(byOffset))
      .reduce(union)

  for (const pack of first.keys()) {
    if (more.has(pack)) {
      const [one, ...others] = listingsOf(pack).map(({ blobs }) => blobs.toSorted(byOffset))
      const same = others.every((other) => sameBlobs(one!, other))
      problems.add(same ? 'pack-listed-twice' : 'pack-split', pack)
    }
    let shapes: readonly BlobShape[] = index.shapes(first.get(pack)!)
    if (more.has(pack) || !isSorted(shapes)) shapes = blobsOf(pack)
    sizes.set(pack, packSize(shapes))
    checkPlaces(pack, shapes, problems)
  }
  return { sizes, blobsOf, listingsOf }
}

function isSorted(shapes: readonly BlobShape[]): boolean {
  return shapes.every((shape, i) => i === 0 || shapes[i - 1]!.offset <= shape.offset)
}

function checkPlaces(pack: Id, blobs: readonly BlobShape[], problems: ProblemList): void {
  if (blobs.some((blob) => blob.type !== blobs[0]!.type)) problems.add('pack-mixed', pack)
  let end = 0
  for (const blob of blobs) {
    if (blob.offset !== end) {
      problems.add('blob-place', pack, `a blob begins at ${blob.offset}, not at ${end}`)
      return
    }
    end += blob.length
  }
}

/** Compare what is listed with what is stored, by presence and size. Returns the packs of a wrong size. */
export function checkSizes(
  packs: ListedPacks,
  stored: ReadonlyMap<Id, number>,
  problems: ProblemList,
): Set<Id> {
  const wrong = new Set<Id>()
  for (const [id, expected] of packs.sizes) {
    const bytes = stored.get(id)
    if (bytes === undefined) problems.add('pack-missing', id)
    else if (bytes !== expected) {
      problems.add('pack-size', id, `${bytes} bytes stored, ${expected} listed`)
      wrong.add(id)
    } else continue
    problems.damagedPacks.add(id)
  }
  for (const id of stored.keys()) if (!packs.sizes.has(id)) problems.add('pack-unlisted', id)
  return wrong
}

/** Whether blobs in order of offset leave neither gap nor overlap. */
export function isContiguous(blobs: readonly BlobShape[]): boolean {
  let end = 0
  return blobs.every(({ offset, length }) => {
    const follows = offset === end
    end = offset + length
    return follows
  })
}

function sameBlob(a: PackedBlob, b: PackedBlob): boolean {
  return (
    a.id === b.id &&
    a.type === b.type &&
    a.offset === b.offset &&
    a.length === b.length &&
    a.uncompressedLength === b.uncompressedLength
  )
}

/** Whether both list the same blobs, each in order of offset. */
export function sameBlobs(a: readonly PackedBlob[], b: readonly PackedBlob[]): boolean {
  return a.length === b.length && a.every((blob, i) => sameBlob(blob, b[i]!))
}

function union(a: PackedBlob[], b: readonly PackedBlob[]): PackedBlob[] {
  const extra = b.filter((blob) => !a.some((other) => sameBlob(other, blob)))
  return [...a, ...extra].sort(byOffset)
}
