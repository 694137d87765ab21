// Checking packs: against the listing without reading them, and byte for byte.
import type { ObjectStore } from '../storage/object-store.ts'
import { openBlob, type PackedBlob } from './blob.ts'
import type { ProblemList } from './check-report.ts'
import { RepositoryError } from './errors.ts'
import { type Id, idOf } from './id.ts'
import type { BlobIndex } from './index.ts'
import { objectKey } from './layout.ts'
import { packSize, readHeader } from './pack-header.ts'
import type { Repository } from './repository.ts'

/** What index files say of one pack, once their statements were compared. */
export interface ListedPack {
  readonly id: Id
  /** In order of offset. */
  readonly blobs: readonly PackedBlob[]
}

const byOffset = (a: PackedBlob, b: PackedBlob) => a.offset - b.offset

/** Every pack the index lists, its statements compared and its blobs found to follow each other without a gap. */
export function checkListings(index: BlobIndex, problems: ProblemList): Map<Id, ListedPack> {
  const packs = new Map<Id, ListedPack>()
  for (const { pack, blobs } of index.listings()) {
    blobs.sort(byOffset)
    const before = packs.get(pack)
    if (before === undefined) packs.set(pack, { id: pack, blobs })
    else if (sameBlobs(before.blobs, blobs)) problems.add('pack-listed-twice', pack)
    else {
      problems.add('pack-split', pack)
      packs.set(pack, { id: pack, blobs: union(before.blobs, blobs) })
    }
  }
  for (const { id, blobs } of packs.values()) {
    if (new Set(blobs.map((blob) => blob.type)).size > 1) problems.add('pack-mixed', id)
    let end = 0
    for (const blob of blobs) {
      if (blob.offset !== end) {
        problems.add('blob-place', id, `a blob begins at ${blob.offset}, not at ${end}`)
        break
      }
      end += blob.length
    }
  }
  return packs
}

/** Compare what is listed with what is stored, by presence and size. */
export function checkSizes(
  packs: ReadonlyMap<Id, ListedPack>,
  stored: ReadonlyMap<Id, number>,
  problems: ProblemList,
): void {
  for (const { id, blobs } of packs.values()) {
    const bytes = stored.get(id)
    const expected = packSize(blobs)
    if (bytes === undefined) problems.add('pack-missing', id)
    else if (bytes !== expected) {
      problems.add('pack-size', id, `${bytes} bytes stored, ${expected} listed`)
    } else continue
    problems.damagedPacks.add(id)
  }
  for (const id of stored.keys()) if (!packs.has(id)) problems.add('pack-unlisted', id)
}

/** Read one pack whole and check every byte of it. Returns how many bytes were read. */
export async function checkPackData(
  options: { store: ObjectStore; repository: Repository; problems: ProblemList },
  pack: ListedPack,
): Promise<number> {
  const { store, repository, problems } = options
  const read = async () => {
    const bytes = await store.get(objectKey('data', pack.id))
    return { bytes, faults: packFaults(repository, pack, bytes) }
  }
  let result = await read()
  // A second look tells a damaged pack from a damaged transfer.
  if (result.faults.length > 0) result = await read()
  if (result.faults.length > 0) problems.damagedPacks.add(pack.id)
  for (const { kind, id, detail } of result.faults) problems.add(kind, id, detail)
  return result.bytes.length
}

interface PackFault {
  readonly kind: 'pack-damaged' | 'blob-damaged'
  readonly id: Id
  readonly detail: string
}

function packFaults(repository: Repository, pack: ListedPack, bytes: Uint8Array): PackFault[] {
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
export function sameBlobs(a: readonly PackedBlob[], b: readonly PackedBlob[]): boolean {
  return a.length === b.length && a.every((blob, i) => sameBlob(blob, b[i]!))
}

function union(a: readonly PackedBlob[], b: readonly PackedBlob[]): PackedBlob[] {
  const extra = b.filter((blob) => !a.some((other) => sameBlob(other, blob)))
  return [...a, ...extra].sort(byOffset)
}
