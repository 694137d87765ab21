// The packs of a repository as a prune sees them: what index files list, held against what the store has.
import type { BlobType, PackedBlob } from './blob.ts'
import type { Id } from './id.ts'
import type { BlobIndex } from './index.ts'
import { packSize } from './pack-header.ts'

/** Listings looked at before the event loop gets a turn: some ten thousand blobs. */
const listingsPerTurn = 64

export type PackState =
  | 'whole' // stored, in the size that its blobs make it
  | 'missing' // listed and not stored
  | 'odd' // stored in another size than its blobs make it

/** A listed pack. The packs of a table are numbered from 0. */
export interface TablePack {
  readonly id: Id
  /** As stored; where it is missing, as listed. */
  readonly bytes: number
  readonly state: PackState
  /** Undefined for a pack with blobs of both types. */
  readonly type: BlobType | undefined
}

export interface PackTable {
  readonly packs: readonly TablePack[]
  /** Stored packs that no index file lists. */
  readonly unlisted: readonly { readonly id: Id; readonly bytes: number }[]
  /** Bytes of all stored packs. */
  readonly storedBytes: number
  numberOf(pack: Id): number | undefined
  /** Each blob of a pack once, in order of offset. */
  blobsOf(pack: number): PackedBlob[]
  /** The index files that list a pack: usually one. */
  filesOf(pack: number): readonly Id[]
}

/** `stored`: size in bytes of every pack in the store, listed after the index was. */
export async function createPackTable(options: {
  index: BlobIndex
  stored: ReadonlyMap<Id, number>
  turn: () => Promise<void>
}): Promise<PackTable> {
  const { index, stored, turn } = options
  const numbers = new Map<Id, number>()
  const first: number[] = []
  const more = new Map<number, number[]>() // further listings of a pack: rarely any
  for (let listing = 0; listing < index.listingCount; listing++) {
    if (listing % listingsPerTurn === 0) await turn()
    const id = index.listing(listing)?.id
    if (id === undefined) continue
    const number = numbers.get(id)
    if (number === undefined) numbers.set(id, first.push(listing) - 1)
    else more.set(number, [...(more.get(number) ?? []), listing])
  }

  const listed = (listing: number) => index.listing(listing)!
  const blobsOf = (pack: number): PackedBlob[] => {
    const blobs = new Map<number, PackedBlob>()
    for (const listing of [first[pack]!, ...(more.get(pack) ?? [])]) {
      for (const blob of listed(listing).blobs) blobs.set(blob.offset, blob)
    }
    return [...blobs.values()].sort((a, b) => a.offset - b.offset)
  }

  const packs: TablePack[] = []
  for (const id of numbers.keys()) {
    if (packs.length % listingsPerTurn === 0) await turn()
    const blobs = blobsOf(packs.length)
    const expected = packSize(blobs)
    const bytes = stored.get(id)
    const state = bytes === undefined ? 'missing' : bytes === expected ? 'whole' : 'odd'
    const type = blobs[0]?.type
    const pure = blobs.every((blob) => blob.type === type)
    packs.push({ id, bytes: bytes ?? expected, state, type: pure ? type : undefined })
  }
  let storedBytes = 0
  const unlisted: { id: Id; bytes: number }[] = []
  for (const [id, bytes] of stored) {
    storedBytes += bytes
    if (!numbers.has(id)) unlisted.push({ id, bytes })
  }
  return {
    packs,
    unlisted,
    storedBytes,
    numberOf: (pack) => numbers.get(pack),
    blobsOf,
    filesOf: (pack) =>
      [first[pack]!, ...(more.get(pack) ?? [])].flatMap((listing) => listed(listing).file ?? []),
  }
}
