// The index in memory: where every known blob lies, in typed arrays of at most 64 bytes per blob.
import type { BlobType, PackedBlob } from './blob.ts'
import type { Id } from './id.ts'
import type { IndexedPack } from './index-file.ts'
import { IdScratch, idWords, Rows } from './rows.ts'

/** Where a blob lies. */
export interface BlobPlace extends PackedBlob {
  readonly pack: Id
}

/** A pack as one index file lists it. */
export interface IndexListing extends IndexedPack {
  readonly file: Id | undefined
}

// A row per blob: its id, then these words. 48 bytes, and 5.3 to 10.7 more in the table that finds it.
const listingWord = idWords // the listing it belongs to; the top bit is set for tree blobs
const offsetWord = idWords + 1
const lengthWord = idWords + 2
const uncompressedWord = idWords + 3
const blobWidth = idWords + 4
const treeBit = 0x80000000

// A row per listing, which is a pack as one index file lists it: the pack's id, then these words. The same pack in
// two index files has two listings, of which either may vanish alone. 44 bytes, shared by a dozen blobs or more.
const firstWord = idWords // number of its first blob row
const countWord = idWords + 1
const fileWord = idWords + 2
const listingWidth = idWords + 3
const unlisted = 0 // stored in this run; no index file lists it yet. Files are numbered from 1
const gone = 0xffffffff // the index file is gone

const freeSlot = 0
const firstSlots = 1024

/**
 * Known blobs by type and id. What removed index files listed stays in memory, unseen; an index lives no longer
 * than one run.
 */
export class BlobIndex {
  readonly #blobs = new Rows(blobWidth, 65_536)
  readonly #listings = new Rows(listingWidth, 4096)
  /** Number of each live index file. */
  readonly #files = new Map<Id, number>()
  #fileNames: Id[] = []
  /** Listings that no index file lists yet. */
  readonly #unlisted = new Map<Id, number>()
  /** Open addressing by the first word of an id, at most three quarters full: blob row + 1, or 0. */
  #slots = new Uint32Array(firstSlots)
  readonly #scratch = new IdScratch()
  #wantTree = false
  #slot = 0

  /** How many entries exist, blobs listed twice counted twice. */
  get size(): number {
    return this.#blobs.length
  }

  /** The index files whose blobs are known. */
  get files(): Iterable<Id> {
    return this.#files.keys()
  }

  hasFile(file: Id): boolean {
    return this.#files.has(file)
  }

  has(type: BlobType, id: Id): boolean {
    return this.#lookup(type, id) >= 0
  }

  /** Where a blob lies, in one of its packs. */
  find(type: BlobType, id: Id): BlobPlace | undefined {
    const row = this.#lookup(type, id)
    return row < 0 ? undefined : this.#placeOf(row)
  }

  /** Everywhere a blob lies: the same blob may be in several packs. */
  findAll(type: BlobType, id: Id): BlobPlace[] {
    const places: BlobPlace[] = []
    for (let row = this.#lookup(type, id); row >= 0; row = this.#lookupAgain()) {
      places.push(this.#placeOf(row))
    }
    return places
  }

  /** A dense number below `size` for a known blob, −1 for an unknown one: lets callers mark blobs in a bitmap. */
  numberOf(type: BlobType, id: Id): number {
    return this.#lookup(type, id)
  }

  /** Make known what a stored index file lists. */
  addFile(file: Id, packs: Iterable<IndexedPack>): void {
    if (this.#files.has(file)) return
    const number = this.#numberFile(file)
    for (const pack of packs) this.#add(pack, number)
  }

  /** Make known a pack that was stored in this run and that no index file lists yet. */
  addPack(pack: IndexedPack): void {
    this.#unlisted.set(pack.id, this.#add(pack, unlisted))
  }

  /** The packs of `addPack` are listed by this stored index file from now on. */
  adopt(file: Id, packs: Iterable<Id>): void {
    const number = this.#files.get(file) ?? this.#numberFile(file)
    for (const pack of packs) {
      const listing = this.#unlisted.get(pack)
      if (listing === undefined) continue
      this.#listings.set(listing, fileWord, number)
      this.#unlisted.delete(pack)
    }
  }

  /** An index file is gone: blobs known from it alone are unknown again. */
  removeFile(file: Id): void {
    const number = this.#files.get(file)
    if (number === undefined) return
    this.#files.delete(file)
    for (let listing = 0; listing < this.#listings.length; listing++) {
      if (this.#listings.get(listing, fileWord) === number) {
        this.#listings.set(listing, fileWord, gone)
      }
    }
  }

  /** How many listings there are, gone ones counted: see `listing`. */
  get listingCount(): number {
    return this.#listings.length
  }

  /**
   * Listing number `listing` (from 0): a pack as one index file lists it, its blobs in the order listed. Undefined
   * if the file is gone; `file` is undefined where no file lists the pack yet.
   */
  listing(listing: number): IndexListing | undefined {
    const number = this.#listings.get(listing, fileWord)
    if (number === gone) return undefined
    const first = this.#listings.get(listing, firstWord)
    const end = first + this.#listings.get(listing, countWord)
    const blobs: PackedBlob[] = []
    for (let row = first; row < end; row++) blobs.push(this.#blobOf(row))
    const file = number === unlisted ? undefined : this.#fileNames[number - 1]
    return { id: this.#listings.getId(listing), file, blobs }
  }

  /** Every live listing. */
  *listings(): Generator<IndexListing> {
    for (let number = 0; number < this.#listings.length; number++) {
      const listing = this.listing(number)
      if (listing !== undefined) yield listing
    }
  }

  /** Every known pack, once. */
  *packs(): Generator<Id> {
    const seen = new Set<Id>()
    for (let listing = 0; listing < this.#listings.length; listing++) {
      const pack = this.#listings.getId(listing)
      if (this.#listings.get(listing, fileWord) === gone || seen.has(pack)) continue
      seen.add(pack)
      yield pack
    }
  }

  #numberFile(file: Id): number {
    const number = this.#fileNames.push(file)
    this.#files.set(file, number)
    return number
  }

  #add(pack: IndexedPack, file: number): number {
    const listing = this.#listings.add()
    this.#listings.setId(listing, this.#scratch.load(pack.id))
    this.#listings.set(listing, firstWord, this.#blobs.length)
    this.#listings.set(listing, countWord, pack.blobs.length)
    this.#listings.set(listing, fileWord, file)
    for (const blob of pack.blobs) this.#addBlob(blob, listing)
    return listing
  }

  #addBlob(blob: PackedBlob, listing: number): void {
    if ((this.#blobs.length + 1) * 4 > this.#slots.length * 3) this.#grow()
    const words = this.#scratch.load(blob.id)
    const row = this.#blobs.add()
    this.#blobs.setId(row, words)
    const tagged = blob.type === 'tree' ? (listing | treeBit) >>> 0 : listing
    this.#blobs.set(row, listingWord, tagged)
    this.#blobs.set(row, offsetWord, blob.offset)
    this.#blobs.set(row, lengthWord, blob.length)
    this.#blobs.set(row, uncompressedWord, blob.uncompressedLength)
    this.#insert(row, words[0]!)
  }

  #insert(row: number, hash: number): void {
    const mask = this.#slots.length - 1
    let slot = hash & mask
    while (this.#slots[slot] !== freeSlot) slot = (slot + 1) & mask
    this.#slots[slot] = row + 1
  }

  #grow(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2)
    for (let row = 0; row < this.#blobs.length; row++) this.#insert(row, this.#blobs.get(row, 0))
  }

  #lookup(type: BlobType, id: Id): number {
    this.#wantTree = type === 'tree'
    this.#slot = this.#scratch.load(id)[0]! & (this.#slots.length - 1)
    return this.#probe()
  }

  /** The next row of the blob that was last looked up. */
  #lookupAgain(): number {
    this.#slot = (this.#slot + 1) & (this.#slots.length - 1)
    return this.#probe()
  }

  #probe(): number {
    const mask = this.#slots.length - 1
    for (; ; this.#slot = (this.#slot + 1) & mask) {
      const found = this.#slots[this.#slot]!
      if (found === freeSlot) return -1
      if (this.#matches(found - 1)) return found - 1
    }
  }

  #matches(row: number): boolean {
    if (!this.#blobs.hasId(row, this.#scratch.words)) return false
    const tagged = this.#blobs.get(row, listingWord)
    if (tagged >= treeBit !== this.#wantTree) return false
    return this.#listings.get((tagged & ~treeBit) >>> 0, fileWord) !== gone
  }

  #blobOf(row: number): PackedBlob {
    return {
      id: this.#blobs.getId(row),
      type: this.#blobs.get(row, listingWord) >= treeBit ? 'tree' : 'data',
      offset: this.#blobs.get(row, offsetWord),
      length: this.#blobs.get(row, lengthWord),
      uncompressedLength: this.#blobs.get(row, uncompressedWord),
    }
  }

  #placeOf(row: number): BlobPlace {
    const listing = (this.#blobs.get(row, listingWord) & ~treeBit) >>> 0
    return { ...this.#blobOf(row), pack: this.#listings.getId(listing) }
  }
}
