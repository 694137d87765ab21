// The index in memory: where every known blob lies, in typed arrays of at most 64 bytes per blob.
import type { BlobType, PackedBlob } from './blob.ts'
import type { Id } from './id.ts'
import type { IndexedPack } from './index-file.ts'
import {
  scannedWidth as blobWidth,
  scannedLength as lengthWord,
  scannedPack as listingWord,
  scannedOffset as offsetWord,
  type ScannedIndex,
  treeBit,
  scannedUncompressed as uncompressedWord,
} from './index-scan.ts'
import { IdScratch, idWords, Rows } from './rows.ts'

/** Where a blob lies. */
export interface BlobPlace extends PackedBlob {
  readonly pack: Id
}

/** A blob as it lies in a pack, whichever it is. */
export type BlobShape = Omit<PackedBlob, 'id'>

/** A pack as one index file lists it. */
export interface IndexListing extends IndexedPack {
  readonly file: Id | undefined
  /** The number of its first blob, as `numberOf` counts; the others follow. */
  readonly first: number
}

// A row per blob: its id and where it lies, as a scanned index file has it, with the number of a listing in place of
// a pack's. 48 bytes, and 5.3 to 10.7 more in the table that finds it.

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
  readonly #blobs = new Rows(blobWidth, 16)
  readonly #listings = new Rows(listingWidth, 12)
  /** Number of each live index file. */
  readonly #files = new Map<Id, number>()
  #fileNames: Id[] = []
  /** Listings that no index file lists yet. */
  readonly #unlisted = new Map<Id, number>()
  /** Open addressing by the first word of an id, at most three quarters full: blob row + 1, or 0. */
  #slots = new Uint32Array(firstSlots)
  /** Rows in the table: the first so many. */
  #inserted = 0
  readonly #scratch = new IdScratch()
  #wantTree = false
  #slot = 0

  /** How many entries exist, blobs listed twice counted twice. */
  get size(): number {
    return this.#blobs.length
  }

  /** Memory in use, in bytes: at most 64 per blob where packs hold a dozen or more. */
  get bytes(): number {
    return this.#blobs.bytes + this.#listings.bytes + this.#slots.byteLength
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

  /** As `has`, for an id of 32 bytes at `at`: spares whoever has the hash its spelling in hex. */
  hasBytes(type: BlobType, id: Uint8Array, at = 0): boolean {
    return this.#lookupWords(type, this.#scratch.loadBytes(id, at)) >= 0
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

  /** The numbers of all places of a blob: as `findAll`, for bitmaps. */
  numbersOf(type: BlobType, id: Id): number[] {
    const numbers: number[] = []
    for (let row = this.#lookup(type, id); row >= 0; row = this.#lookupAgain()) numbers.push(row)
    return numbers
  }

  /** A dense number below `size` for a known blob, −1 for an unknown one: lets callers mark blobs in a bitmap. */
  numberOf(type: BlobType, id: Id): number {
    return this.#lookup(type, id)
  }

  /**
   * The number of a listing that holds a known blob, −1 for an unknown one: lets callers gather the packs of many
   * blobs without spelling out their ids. See `packOfListing`.
   */
  listingOf(type: BlobType, id: Id): number {
    const row = this.#lookup(type, id)
    return row < 0 ? -1 : (this.#blobs.get(row, listingWord) & ~treeBit) >>> 0
  }

  /** The pack of a listing, also of one whose file is gone. */
  packOfListing(listing: number): Id {
    return this.#listings.getId(listing)
  }

  /** Make known what a stored index file lists. */
  addFile(file: Id, packs: Iterable<IndexedPack>): void {
    if (this.#files.has(file)) return
    const number = this.#numberFile(file)
    for (const pack of packs) this.#add(pack, number)
  }

  /** As `addFile`, from the rows of `scanIndex`. */
  addScanned(file: Id, { packs, counts, blobs }: ScannedIndex): void {
    if (this.#files.has(file)) return
    const number = this.#numberFile(file)
    const firstListing = this.#listings.length
    let firstBlob = this.#blobs.length
    for (let pack = 0; pack < counts.length; pack++) {
      const listing = this.#listings.add()
      this.#listings.setId(listing, packs.subarray(pack * idWords, (pack + 1) * idWords))
      this.#listings.set(listing, firstWord, firstBlob)
      this.#listings.set(listing, countWord, counts[pack]!)
      this.#listings.set(listing, fileWord, number)
      firstBlob += counts[pack]!
    }
    // The pack's number becomes the listing's; the top bit, which tells trees, stays.
    for (let at = listingWord; at < blobs.length; at += blobWidth) blobs[at]! += firstListing
    const begin = this.#blobs.append(blobs)
    this.reserve(firstBlob)
    for (let at = 0, row = begin; row < firstBlob; at += blobWidth, row++) {
      this.#insert(row, blobs[at]!)
    }
  }

  /** Make room for `blobs` in all, so that the table that finds them grows once. */
  reserve(blobs: number): void {
    let slots = this.#slots.length
    while (blobs * 4 > slots * 3) slots *= 2
    if (slots > this.#slots.length) this.#grow(slots)
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
    return { id: this.#listings.getId(listing), file, first, blobs }
  }

  /** The pack of a listing, or undefined if its file is gone. */
  listedPack(listing: number): Id | undefined {
    const live = this.#listings.get(listing, fileWord) !== gone
    return live ? this.#listings.getId(listing) : undefined
  }

  /** The blobs of a listing without their ids, which cost more than all the rest. */
  shapes(listing: number): BlobShape[] {
    const first = this.#listings.get(listing, firstWord)
    const count = this.#listings.get(listing, countWord)
    return Array.from({ length: count }, (_, i) => this.#shapeOf(first + i))
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
    this.reserve(this.#blobs.length + 1)
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
    const slots = this.#slots
    const mask = slots.length - 1
    let slot = hash & mask
    while (slots[slot] !== freeSlot) slot = (slot + 1) & mask
    slots[slot] = row + 1
    this.#inserted++
  }

  #grow(slots: number): void {
    const inserted = this.#inserted
    // The rows hold all that the new table needs, so the old one goes first: both at once would be over the budget.
    this.#slots.buffer.transfer(0)
    this.#slots = new Uint32Array(slots)
    this.#inserted = 0
    for (let row = 0; row < inserted; row++) this.#insert(row, this.#blobs.get(row, 0))
  }

  #lookup(type: BlobType, id: Id): number {
    return this.#lookupWords(type, this.#scratch.load(id))
  }

  #lookupWords(type: BlobType, words: Uint32Array): number {
    this.#wantTree = type === 'tree'
    this.#slot = words[0]! & (this.#slots.length - 1)
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
    return { id: this.#blobs.getId(row), ...this.#shapeOf(row) }
  }

  #shapeOf(row: number): BlobShape {
    return {
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
