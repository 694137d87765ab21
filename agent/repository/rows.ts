// Rows of 32-bit words in segments: a table of millions of rows that never copies itself to grow.
import { RepositoryError } from './errors.ts'
import { type Id, idBytes } from './id.ts'

/** An id takes this many words. */
export const idWords = idBytes / 4

/** A growing table. Row numbers are dense, from 0; rows are never removed. */
export class Rows {
  readonly #width: number
  /** Rows of a segment are a power of two, so that finding one is a shift and a mask. */
  readonly #shift: number
  readonly #mask: number
  readonly #segments: Uint32Array[] = []
  length = 0

  /** `width` words per row, 2^`shift` rows allocated at a time. */
  constructor(width: number, shift: number) {
    this.#width = width
    this.#shift = shift
    this.#mask = 2 ** shift - 1
  }

  /** Memory that the rows take, in bytes. */
  get bytes(): number {
    return this.#segments.length * (this.#mask + 1) * this.#width * 4
  }

  /** A new row of zeros; returns its number. */
  add(): number {
    if ((this.length & this.#mask) === 0) {
      this.#segments.push(new Uint32Array((this.#mask + 1) * this.#width))
    }
    return this.length++
  }

  /** As many new rows as `words` holds, copied whole; returns the number of the first. */
  append(words: Uint32Array): number {
    const first = this.length
    let at = 0
    while (at < words.length) {
      const row = this.add()
      const start = (row & this.#mask) * this.#width
      const segment = this.#segmentOf(row)
      const part = words.subarray(at, at + segment.length - start)
      segment.set(part, start)
      this.length += part.length / this.#width - 1
      at += part.length
    }
    return first
  }

  get(row: number, word: number): number {
    return this.#segmentOf(row)[(row & this.#mask) * this.#width + word]!
  }

  set(row: number, word: number, value: number): void {
    this.#segmentOf(row)[(row & this.#mask) * this.#width + word] = value
  }

  /** Write an id into the first words of a row. */
  setId(row: number, words: Uint32Array): void {
    this.#segmentOf(row).set(words, (row & this.#mask) * this.#width)
  }

  /** Whether the first words of a row are this id. */
  hasId(row: number, words: Uint32Array): boolean {
    const segment = this.#segmentOf(row)
    const at = (row & this.#mask) * this.#width
    for (let i = 0; i < idWords; i++) if (segment[at + i] !== words[i]) return false
    return true
  }

  /** The id in the first words of a row. */
  getId(row: number): Id {
    const segment = this.#segmentOf(row)
    const at = segment.byteOffset + (row & this.#mask) * this.#width * 4
    return Buffer.from(segment.buffer, at, idBytes).toString('hex')
  }

  #segmentOf(row: number): Uint32Array {
    return this.#segments[row >>> this.#shift]!
  }
}

/** Turns ids into words, over and over in the same eight. */
export class IdScratch {
  readonly #bytes = Buffer.alloc(idBytes)
  readonly words = new Uint32Array(this.#bytes.buffer, this.#bytes.byteOffset, idWords)

  load(id: Id): Uint32Array {
    if (id.length !== idBytes * 2 || this.#bytes.write(id, 'hex') !== idBytes) {
      throw new RepositoryError('invalid-input', 'an id must be 64 hex characters')
    }
    return this.words
  }

  /** As `load`, of the 32 bytes at `at`. */
  loadBytes(bytes: Uint8Array, at: number): Uint32Array {
    if (at + idBytes > bytes.length) {
      throw new RepositoryError('invalid-input', 'an id must be 32 bytes')
    }
    const scratch = this.#bytes
    for (let i = 0; i < idBytes; i++) scratch[i] = bytes[at + i]!
    return this.words
  }
}
