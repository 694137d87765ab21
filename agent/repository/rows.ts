// Rows of 32-bit words in segments: a table of millions of rows that never copies itself to grow.
import { RepositoryError } from './errors.ts'
import { type Id, idBytes } from './id.ts'

/** An id takes this many words. */
export const idWords = idBytes / 4

/** A growing table. Row numbers are dense, from 0; rows are never removed. */
export class Rows {
  readonly #width: number
  readonly #perSegment: number
  readonly #segments: Uint32Array[] = []
  length = 0

  /** `width` words per row, `perSegment` rows allocated at a time. */
  constructor(width: number, perSegment: number) {
    this.#width = width
    this.#perSegment = perSegment
  }

  /** A new row of zeros; returns its number. */
  add(): number {
    if (this.length % this.#perSegment === 0) {
      this.#segments.push(new Uint32Array(this.#perSegment * this.#width))
    }
    return this.length++
  }

  get(row: number, word: number): number {
    return this.#segmentOf(row)[(row % this.#perSegment) * this.#width + word]!
  }

  set(row: number, word: number, value: number): void {
    this.#segmentOf(row)[(row % this.#perSegment) * this.#width + word] = value
  }

  /** Write an id into the first words of a row. */
  setId(row: number, words: Uint32Array): void {
    this.#segmentOf(row).set(words, (row % this.#perSegment) * this.#width)
  }

  /** Whether the first words of a row are this id. */
  hasId(row: number, words: Uint32Array): boolean {
    const segment = this.#segmentOf(row)
    const at = (row % this.#perSegment) * this.#width
    for (let i = 0; i < idWords; i++) if (segment[at + i] !== words[i]) return false
    return true
  }

  /** The id in the first words of a row. */
  getId(row: number): Id {
    const segment = this.#segmentOf(row)
    const at = segment.byteOffset + (row % this.#perSegment) * this.#width * 4
    return Buffer.from(segment.buffer, at, idBytes).toString('hex')
  }

  #segmentOf(row: number): Uint32Array {
    return this.#segments[Math.floor(row / this.#perSegment)]!
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
}
