// Checking packs: against the listing without reading them, and byte for byte.
import { openBlob, type PackedBlob } from './blob.ts'
import type { ProblemList } from './check-report.ts'
import { RepositoryError } from './errors.ts'
import { type Id, idOf } from './id.ts'
import type { BlobIndex } from './index.ts'
import { packSize, readHeader } from './pack-header.ts'
import type { Repository } from './repository.ts'

const byOffset = (a: PackedBlob, b: PackedBlob) => a.offset - b.offset

/**
 * Every pack the index lists, and the size in bytes that its blobs make it. Blobs themselves are not kept: a
 * repository has too many of them.
 */
export interface ListedPacks {
  readonly sizes: ReadonlyMap<Id, number>
  /** All listed blobs of a pack by offset, those of several index files taken together. */
  blobsOf(pack: Id): PackedBlob[]
}

/** Compare what index files say of each pack, and find gaps between its blobs. */
export function checkListings(index: BlobIndex, problems: ProblemList): ListedPacks {
  const sizes = new Map<Id, number>()
  const first = new Map<Id, number>()
  const more = new Map<Id, number[]>() // further listings of a pack: rarely any

  for (let number = 0; number < index.listingCount; number++) {
    const pack = index.listing(number)?.id
    if (pack === undefined) continue
    if (first.has(pack)) more.set(pack, [...(more.get(pack) ?? []), number])
    else first.set(pack, number)
  }

  const blobsOf = (pack: Id) => {
    let blobs = listed(index, first.get(pack)!)
    for (const number of more.get(pack) ?? []) blobs = union(blobs, listed(index, number))
    return blobs
  }
  for (const [pack, number] of first) {
    const others = more.get(pack) ?? []
    if (others.length > 0) {
      const blobs = listed(index, number)
      const same = others.every((other) => sameBlobs(blobs, listed(index, other)))
      problems.add(same ? 'pack-listed-twice' : 'pack-split', pack)
    }
    const blobs = blobsOf(pack)
    sizes.set(pack, packSize(blobs))
    checkPlaces(pack, blobs, problems)
  }
  return { sizes, blobsOf }
}

function listed(index: BlobIndex, number: number): PackedBlob[] {
  return [...(index.listing(number)?.blobs ?? [])].sort(byOffset)
}

function checkPlaces(pack: Id, blobs: readonly PackedBlob[], problems: ProblemList): void {
  if (new Set(blobs.map((blob) => blob.type)).size > 1) problems.add('pack-mixed', pack)
  let end = 0
  for (const blob of blobs) {
    if (blob.offset !== end) {
      problems.add('blob-place', pack, `a blob begins at ${blob.offset}, not at ${end}`)
      return
    }
    end += blob.length
  }
}

/** Compare what is listed with what is stored, by presence and size. */
export function checkSizes(
  packs: ListedPacks,
  stored: ReadonlyMap<Id, number>,
  problems: ProblemList,
): void {
  for (const [id, expected] of packs.sizes) {
    const bytes = stored.get(id)
    if (bytes === undefined) problems.add('pack-missing', id)
    else if (bytes !== expected) {
      problems.add('pack-size', id, `${bytes} bytes stored, ${expected} listed`)
    } else continue
    problems.damagedPacks.add(id)
  }
  for (const id of stored.keys()) if (!packs.sizes.has(id)) problems.add('pack-unlisted', id)
}

/** A pack to be checked byte for byte. */
export interface PackToCheck {
  readonly id: Id
  /** In order of offset. */
  readonly blobs: readonly PackedBlob[]
}

/** Check every byte of one pack that was read whole; `again` reads it anew. Returns how many bytes it has. */
export async function checkPackData(
  options: { repository: Repository; problems: ProblemList; again: () => Promise<Uint8Array> },
  pack: PackToCheck,
  bytes: Uint8Array,
): Promise<number> {
  const { repository, problems, again } = options
  let faults = packFaults(repository, pack, bytes)
  // A second look tells a damaged pack from a damaged transfer.
  if (faults.length > 0) faults = packFaults(repository, pack, await again())
  if (faults.length > 0) problems.damagedPacks.add(pack.id)
  for (const { kind, id, detail } of faults) problems.add(kind, id, detail)
  return bytes.length
}

interface PackFault {
  readonly kind: 'pack-damaged' | 'blob-damaged'
  readonly id: Id
  readonly detail: string
}

function packFaults(repository: Repository, pack: PackToCheck, bytes: Uint8Array): PackFault[] {
  const faults: PackFault[] = []
  const key = repository.masterKey
  if (idOf(bytes) !== pack.id) {
    faults.push({ kind: 'pack-damaged', id: pack.id, detail: 'content differs from the name' })
  }
  const headerFault = faultOf(() => {
    if (!sameBlobs(readHeader(key, bytes).sort(byOffset), pack.blobs)) {
      throw new RepositoryError('damaged', 'the header and the index list different blobs')
    }
  })
  if (headerFault !== undefined) {
    faults.push({ kind: 'pack-damaged', id: pack.id, detail: headerFault })
  }
  for (const { id, offset, length, uncompressedLength } of pack.blobs) {
    const sealed = bytes.subarray(offset, offset + length)
    const fault = faultOf(() => openBlob({ key, id, sealed, uncompressedLength }))
    if (fault === undefined) continue
    faults.push({ kind: 'blob-damaged', id, detail: `in pack ${pack.id}: ${fault}` })
  }
  return faults
}

function faultOf(work: () => unknown): string | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (error instanceof RepositoryError) return error.message
    throw error
  }
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
function sameBlobs(a: readonly PackedBlob[], b: readonly PackedBlob[]): boolean {
  return a.length === b.length && a.every((blob, i) => sameBlob(blob, b[i]!))
}

function union(a: readonly PackedBlob[], b: readonly PackedBlob[]): PackedBlob[] {
  const extra = b.filter((blob) => !a.some((other) => sameBlob(other, blob)))
  return [...a, ...extra].sort(byOffset)
}
