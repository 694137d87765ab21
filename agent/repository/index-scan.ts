// Index files straight from their bytes into rows of words. Parsing them as JSON makes an object and three strings
// per blob; a repository of ten million blobs then takes a minute to open, and most of that is garbage collection.
import { blobLimit } from './blob.ts'
import { sealOverhead } from './cipher.ts'
import { idBytes } from './id.ts'
import { idWords } from './rows.ts'

/** Words of a scanned blob: its id, then these. */
export const scannedPack = idWords // number of its pack in the same file; the top bit is set for tree blobs
export const scannedOffset = idWords + 1
export const scannedLength = idWords + 2
export const scannedUncompressed = idWords + 3
export const scannedWidth = idWords + 4
export const treeBit = 0x80000000

/** What one index file lists. */
export interface ScannedIndex {
  /** `idWords` words per pack: its id. */
  readonly packs: Uint32Array
  /** How many blobs each pack has; they follow each other in `blobs`. */
  readonly counts: Uint32Array
  /** `scannedWidth` words per blob. */
  readonly blobs: Uint32Array
}

/** A text to step over, as the four-byte words to compare it by: the last one may overlap the one before. */
interface Literal {
  readonly length: number
  readonly words: Uint32Array
}

function text(literal: string): Literal {
  const bytes = Buffer.from(literal, 'latin1')
  const { length } = bytes
  const words = Uint32Array.from({ length: Math.ceil(length / 4) }, (_, i) =>
    bytes.readUInt32LE(Math.min(i * 4, length - 4)),
  )
  return { length, words }
}
const supersedes = text('"supersedes":[')
const packsList = text('"packs":[')
const packId = text('{"id":"')
const blobsList = text('","blobs":[')
const blobId = packId
const blobType = text('","type":"')
const dataType = text('data","offset":')
const treeType = text('tree","offset":')
const blobLength = text(',"length":')
const uncompressed = text(',"uncompressed_length":')

const comma = 0x2c
const quote = 0x22
const openBrace = 0x7b
const closeBrace = 0x7d
const closeBracket = 0x5d
const newline = 0x0a
const zero = 0x30

/** The shortest a blob can be written, its comma included, in bytes; with that the rows are sized before they are read. */
const shortestBlob = 110
/** As `shortestBlob`, for a pack without blobs. */
const shortestPack = 84

/** Value of each pair of hex digits, by the number its two bytes make; −1 for what is none. */
const byteOf = new Int16Array(65_536).fill(-1)
const digits = [...'0123456789abcdefABCDEF'].map((digit) => digit.charCodeAt(0))
for (const high of digits) {
  for (const low of digits) {
    byteOf[high | (low << 8)] = Number.parseInt(String.fromCharCode(high, low), 16)
  }
}

/**
 * The rows of an index file written the way restic and we write it: these fields, in this order, without white
 * space. Undefined for any other text, be it unusual or damaged: `decodeIndex` then says which.
 */
export function scanIndex(json: Uint8Array): ScannedIndex | undefined {
  const scanner = new Scanner(json)
  return scanner.index() ? scanner.result() : undefined
}

class Scanner {
  readonly #json: Uint8Array
  readonly #view: DataView
  #at = 0
  #number = 0
  readonly #packs: Uint32Array
  readonly #packBytes: Uint8Array
  readonly #counts: Uint32Array
  readonly #blobs: Uint32Array
  readonly #blobBytes: Uint8Array
  #packCount = 0
  #blobCount = 0

  constructor(json: Uint8Array) {
    this.#json = json
    this.#view = new DataView(json.buffer, json.byteOffset, json.byteLength)
    const mostPacks = Math.floor(json.length / shortestPack) + 1
    const mostBlobs = Math.floor(json.length / shortestBlob) + 1
    this.#packs = new Uint32Array(mostPacks * idWords)
    this.#packBytes = new Uint8Array(this.#packs.buffer)
    this.#counts = new Uint32Array(mostPacks)
    this.#blobs = new Uint32Array(mostBlobs * scannedWidth)
    this.#blobBytes = new Uint8Array(this.#blobs.buffer)
  }

  result(): ScannedIndex {
    return {
      packs: this.#packs.subarray(0, this.#packCount * idWords),
      counts: this.#counts.subarray(0, this.#packCount),
      blobs: this.#blobs.subarray(0, this.#blobCount * scannedWidth),
    }
  }

  index(): boolean {
    if (!this.#takeByte(openBrace)) return false
    // Written until restic 0.14, ignored by all later ones.
    if (this.#take(supersedes) && !this.#superseded()) return false
    if (!this.#take(packsList)) return false
    if (this.#json[this.#at] === openBrace) {
      do {
        if (!this.#pack()) return false
      } while (this.#takeByte(comma))
    }
    if (!this.#end()) return false
    this.#takeByte(newline)
    return this.#at === this.#json.length
  }

  #superseded(): boolean {
    const ignored = new Uint8Array(idBytes)
    do {
      if (!this.#takeByte(quote) || !this.#id(ignored, 0) || !this.#takeByte(quote)) return false
    } while (this.#takeByte(comma))
    return this.#takeByte(closeBracket) && this.#takeByte(comma)
  }

  #pack(): boolean {
    if (!this.#take(packId) || !this.#id(this.#packBytes, this.#packCount * idBytes)) return false
    if (!this.#take(blobsList)) return false
    const before = this.#blobCount
    if (this.#json[this.#at] !== closeBracket) {
      do {
        if (!this.#blob()) return false
      } while (this.#takeByte(comma))
    }
    this.#counts[this.#packCount++] = this.#blobCount - before
    return this.#end()
  }

  #blob(): boolean {
    const row = this.#blobCount * scannedWidth
    if (!this.#take(blobId) || !this.#id(this.#blobBytes, row * 4)) return false
    if (!this.#take(blobType)) return false
    let pack = this.#packCount
    if (!this.#take(dataType)) {
      if (!this.#take(treeType)) return false
      pack = (pack | treeBit) >>> 0
    }
    if (!this.#uint()) return false
    const offset = this.#number
    if (!this.#take(blobLength) || !this.#uint()) return false
    const length = this.#number
    let uncompressedLength = 0
    if (!this.#takeByte(closeBrace)) {
      if (!this.#take(uncompressed) || !this.#uint()) return false
      uncompressedLength = this.#number
      if (!this.#takeByte(closeBrace)) return false
    }
    if (length < sealOverhead || offset + length > 2 ** 32) return false
    if (length > blobLimit || uncompressedLength > blobLimit) return false
    const blobs = this.#blobs
    blobs[row + scannedPack] = pack
    blobs[row + scannedOffset] = offset
    blobs[row + scannedLength] = length
    blobs[row + scannedUncompressed] = uncompressedLength
    this.#blobCount++
    return true
  }

  #end(): boolean {
    return this.#takeByte(closeBracket) && this.#takeByte(closeBrace)
  }

  /** Step over `literal` if it comes next. */
  #take(literal: Literal): boolean {
    const { length, words } = literal
    const at = this.#at
    const next = at + length
    if (next > this.#json.length) return false
    const last = words.length - 1
    for (let i = 0; i < last; i++) {
      if (this.#view.getUint32(at + i * 4, true) !== words[i]) return false
    }
    if (this.#view.getUint32(next - 4, true) !== words[last]) return false
    this.#at = next
    return true
  }

  #takeByte(byte: number): boolean {
    if (this.#json[this.#at] !== byte) return false
    this.#at++
    return true
  }

  /** 64 hex digits as bytes at `to`. */
  #id(out: Uint8Array, to: number): boolean {
    const at = this.#at
    if (at + idBytes * 2 > this.#json.length) return false
    let wrong = 0
    for (let i = 0; i < idBytes; i++) {
      const byte = byteOf[this.#view.getUint16(at + 2 * i, true)]!
      wrong |= byte
      out[to + i] = byte
    }
    this.#at = at + idBytes * 2
    return wrong >= 0
  }

  /** A whole number below 2^32 into `#number`, without sign, leading zero, fraction or exponent. */
  #uint(): boolean {
    const json = this.#json
    const from = this.#at
    let at = from
    let value = 0
    for (let digit = json[at]! - zero; digit >= 0 && digit <= 9; digit = json[++at]! - zero) {
      value = value * 10 + digit
      if (value > 0xffffffff) return false
    }
    if (at === from || (json[from] === zero && at - from > 1)) return false
    this.#at = at
    this.#number = value
    return true
  }
}
