// The index in memory: where every known blob lies, in typed arrays of at most 64 bytes per blob.
import type { BlobType, PackedBlob } from './blob.ts'
import { RepositoryError } from './errors.ts'
import { type Id, idBytes } from './id.ts'
import type { IndexedPack } from './index-file.ts'

/** Where a blob lies. */
export interface BlobPlace extends PackedBlob {
  readonly pack: Id
}

/** Uint32 words of one entry: 8 of the id, then listing and type, offset, length, uncompressed length. */
const entryWords = 12
const idWords = 8
/** Entries per segment: growing never copies, and never holds more than 3 MiB unused. */
const segmentEntries = 65_536
const treeBit = 0x80000000
const noEntry = 0

/** A pack as one index file lists it. The same pack in two files is listed twice; either may vanish alone. */
interface Listing {
  readonly pack: Id
  /** Undefined until an index file that lists this pack is stored. */
  file: Id | undefined
  readonly first: number // number of its first entry
  readonly count: number
  live: boolean
}

/**
 * Known blobs by type and id. 48 bytes per entry and at most 10.7 for the table that finds it. Entries of index
 * files that were removed stay in memory, unseen; an index lives no longer than one run.
 */
export class BlobIndex {
  readonly #segments: Uint32Array[] = []
  readonly #listings: Listing[] = []
  readonly #byPack = new Map<Id, number[]>()
  readonly #byFile = new Map<Id, Set<number>>()
  #slots = new Uint32Array(1024) // entry number + 1; 0 is free
  #entries = 0
  readonly #scratch = Buffer.alloc(idBytes)
  readonly #scratchWords = new Uint32Array(this.#scratch.buffer, this.#scratch.byteOffset, idWords)

  /** How many entries exist, blobs listed twice counted twice. */
  get size(): number {
    return this.#entries
  }

  /** The index files whose blobs are known. */
  get files(): Iterable<Id> {
    return this.#byFile.keys()
  }

  hasFile(file: Id): boolean {
    return this.#byFile.has(file)
  }

  has(type: BlobType, id: Id): boolean {
    return this.#lookup(type, id) >= 0
  }

  /** Where a blob lies, in one of its packs. */
  find(type: BlobType, id: Id): BlobPlace | undefined {
    const entry = this.#lookup(type, id)
    return entry < 0 ? undefined : this.#placeOf(entry)
  }

  /** Everywhere a blob lies: the same blob may be in several packs. */
  findAll(type: BlobType, id: Id): BlobPlace[] {
    const places: BlobPlace[] = []
    for (let entry = this.#lookup(type, id); entry >= 0; entry = this.#lookupAgain()) {
      places.push(this.#placeOf(entry))
    }
    return places
  }

  /** A dense number below `size` for a known blob, −1 for an unknown one: lets callers mark blobs in a bitmap. */
  numberOf(type: BlobType, id: Id): number {
    return this.#lookup(type, id)
  }

  /** Make known what a stored index file lists. */
  addFile(file: Id, packs: Iterable<IndexedPack>): void {
    if (this.#byFile.has(file)) return
    this.#byFile.set(file, new Set())
    for (const pack of packs) this.#add(pack, file)
  }

  /** Make known a pack that was stored in this run and that no index file lists yet. */
  addPack(pack: IndexedPack): void {
    this.#add(pack, undefined)
  }

  /** The packs of `addPack` are listed by this stored index file from now on. */
  adopt(file: Id, packs: Iterable<Id>): void {
    const listings = this.#byFile.get(file) ?? new Set()
    this.#byFile.set(file, listings)
    for (const pack of packs) {
      for (const number of this.#byPack.get(pack) ?? []) {
        const listing = this.#listings[number]!
        if (listing.file !== undefined) continue
        listing.file = file
        listings.add(number)
      }
    }
  }

  /** An index file is gone: blobs known from it alone are unknown again. */
  removeFile(file: Id): void {
    for (const number of this.#byFile.get(file) ?? []) this.#listings[number]!.live = false
    this.#byFile.delete(file)
  }

  /** Every live listing: a pack, the index file that lists it, and its blobs by offset as listed. */
  *listings(): Generator<{ pack: Id; file: Id | undefined; blobs: PackedBlob[] }> {
    for (const { pack, file, first, count, live } of this.#listings) {
      if (!live) continue
      const blobs: PackedBlob[] = []
      for (let entry = first; entry < first + count; entry++) blobs.push(this.#placeOf(entry))
      yield { pack, file, blobs }
    }
  }

  /** Every known pack, once. */
  *packs(): Generator<Id> {
    for (const [pack, listings] of this.#byPack) {
      if (listings.some((number) => this.#listings[number]!.live)) yield pack
    }
  }

  #add(pack: IndexedPack, file: Id | undefined): void {
    const number = this.#listings.length
    const count = pack.blobs.length
    this.#listings.push({ pack: pack.id, file, first: this.#entries, count, live: true })
    const listings = this.#byPack.get(pack.id)
    if (listings === undefined) this.#byPack.set(pack.id, [number])
    else listings.push(number)
    if (file !== undefined) this.#byFile.get(file)!.add(number)
    for (const blob of pack.blobs) this.#addBlob(blob, number)
  }

  #addBlob(blob: PackedBlob, listing: number): void {
    // The table is kept at most three quarters full.
    if ((this.#entries + 1) * 4 > this.#slots.length * 3) this.#grow()
    const entry = this.#entries
    if (entry % segmentEntries === 0) {
      this.#segments.push(new Uint32Array(segmentEntries * entryWords))
    }
    this.#entries++
    const segment = this.#segments[Math.floor(entry / segmentEntries)]!
    const at = (entry % segmentEntries) * entryWords
    this.#readId(blob.id)
    segment.set(this.#scratchWords, at)
    segment[at + idWords] = blob.type === 'tree' ? (listing | treeBit) >>> 0 : listing
    segment[at + idWords + 1] = blob.offset
    segment[at + idWords + 2] = blob.length
    segment[at + idWords + 3] = blob.uncompressedLength
    this.#insert(entry, segment[at]!)
  }

  #insert(entry: number, hash: number): void {
    const mask = this.#slots.length - 1
    let slot = hash & mask
    while (this.#slots[slot] !== noEntry) slot = (slot + 1) & mask
    this.#slots[slot] = entry + 1
  }

  #grow(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2)
    for (let entry = 0; entry < this.#entries; entry++) {
      const segment = this.#segments[Math.floor(entry / segmentEntries)]!
      this.#insert(entry, segment[(entry % segmentEntries) * entryWords]!)
    }
  }

  #readId(id: Id): void {
    if (this.#scratch.write(id, 'hex') !== idBytes) {
      throw new RepositoryError('invalid-input', 'a blob id must be 64 hex characters')
    }
  }

  #wantTree = false
  #slot = 0

  #lookup(type: BlobType, id: Id): number {
    this.#readId(id)
    this.#wantTree = type === 'tree'
    this.#slot = this.#scratchWords[0]! & (this.#slots.length - 1)
    return this.#probe()
  }

  /** The next entry of the blob that was last looked up. */
  #lookupAgain(): number {
    this.#slot = (this.#slot + 1) & (this.#slots.length - 1)
    return this.#probe()
  }

  #probe(): number {
    const mask = this.#slots.length - 1
    for (; ; this.#slot = (this.#slot + 1) & mask) {
      const found = this.#slots[this.#slot]!
      if (found === noEntry) return -1
      const entry = found - 1
      if (this.#matches(entry)) return entry
    }
  }

  #matches(entry: number): boolean {
    const segment = this.#segments[Math.floor(entry / segmentEntries)]!
    const at = (entry % segmentEntries) * entryWords
    const words = this.#scratchWords
    for (let i = 0; i < idWords; i++) if (segment[at + i] !== words[i]) return false
    const tagged = segment[at + idWords]!
    if (tagged >= treeBit !== this.#wantTree) return false
    return this.#listings[(tagged & ~treeBit) >>> 0]!.live
  }

  #placeOf(entry: number): BlobPlace {
    const segment = this.#segments[Math.floor(entry / segmentEntries)]!
    const at = (entry % segmentEntries) * entryWords
    const words = segment.subarray(at, at + idWords)
    const tagged = segment[at + idWords]!
    return {
      id: Buffer.from(words.buffer, words.byteOffset, idBytes).toString('hex'),
      type: tagged >= treeBit ? 'tree' : 'data',
      pack: this.#listings[(tagged & ~treeBit) >>> 0]!.pack,
      offset: segment[at + idWords + 1]!,
      length: segment[at + idWords + 2]!,
      uncompressedLength: segment[at + idWords + 3]!,
    }
  }
}
