// A window on one file: bytes are read into it, cut where they lie, and leave it in any order.
import { type ChunkerTables, maxChunk } from './chunker.ts'
import { CutMemory } from './find-cut.ts'

/** Bytes read at a time at most. */
const readBytes = 1024 * 1024
/** Less room than this is not worth a read. */
const leastRead = 256 * 1024
/** One chunk of the greatest length and what is being worked on meanwhile. What was never reached is no memory yet. */
const windowBytes = maxChunk + 4 * 1024 * 1024

/** A chunk in the window, as bytes from its beginning. */
interface Range {
  readonly start: number
  readonly end: number
  left: boolean
}

/** A chunk that was cut, where it lies in `memory`. */
export interface CutChunk {
  readonly offset: number
  readonly length: number
  /** Its bytes are needed no more. */
  leave(): void
}

export class StreamWindow {
  static readonly bytes = windowBytes
  readonly #cuts: CutMemory
  /** Chunks in the window, oldest first. */
  readonly #chunks: Range[] = []
  #start = 0 // of the chunk that is being cut
  #filled = 0
  #looked = 0
  #wake: (() => void) | undefined

  constructor(tables: ChunkerTables) {
    this.#cuts = new CutMemory(tables, windowBytes)
  }

  get memory(): SharedArrayBuffer {
    return this.#cuts.memory
  }

  /** Room for the next bytes, 256 KiB at least; undefined while chunks must leave first: see `untilRoom`. */
  room(): Buffer | undefined {
    const oldest = this.#chunks[0]
    // Once the end was reached, filling goes on before the oldest chunk that still lies there.
    const wrapped = oldest !== undefined && oldest.start >= this.#filled
    let limit = wrapped ? oldest.start : windowBytes
    if (limit - this.#filled < leastRead) {
      const begun = this.#filled - this.#start
      // With no chunk left the begun one may move over itself.
      const inTheWay = wrapped || (oldest !== undefined && oldest.start < begun + leastRead)
      if (inTheWay) return undefined
      this.#cuts.bytes.copyWithin(0, this.#start, this.#filled)
      if (this.#looked > 0) this.#looked -= this.#start
      this.#start = 0
      this.#filled = begun
      limit = oldest === undefined ? windowBytes : oldest.start
    }
    return this.#cuts.bytes.subarray(this.#filled, Math.min(limit, this.#filled + readBytes))
  }

  /** Resolves once a chunk has left. */
  untilRoom(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  /** `bytes` bytes of the room were filled. */
  fill(bytes: number): void {
    this.#filled += bytes
  }

  /** The next whole chunk, undefined if more bytes are needed. `last`: no more will come. */
  next(last = false): CutChunk | undefined {
    const { cut, looked } = this.#cuts.search(this.#start, this.#looked, this.#filled, last)
    this.#looked = looked
    if (cut === 0) return undefined
    const range: Range = { start: this.#start, end: cut, left: false }
    this.#chunks.push(range)
    this.#start = cut
    return {
      offset: this.#cuts.offset + range.start,
      length: range.end - range.start,
      leave: () => {
        range.left = true
        while (this.#chunks[0]?.left) this.#chunks.shift()
        this.#wake?.()
        this.#wake = undefined
      },
    }
  }

  /** Ready for another file, once all chunks have left. */
  reset(): void {
    this.#start = 0
    this.#filled = 0
    this.#looked = 0
  }
}
