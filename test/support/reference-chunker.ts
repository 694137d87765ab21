// The chunker in plain JavaScript, one byte after the other: what the WebAssembly is held against.

import { type ChunkerTables, maxChunk, minChunk } from '../../agent/repository/chunker.ts'

const window = 64
const splitMask = 0xfffff // 20 zero bits: a border every 2^20 bytes on average, beyond the least size
const topBits = 13 // of the digest's upper word, the bits above index 45: the table index
const highMask = 0x1fffff // bits 32–52 of a digest of 53 bits
/** Bytes taken into the buffer before they are looked at; bounds what must be moved after a cut. */
const gulp = 1024 * 1024

/**
 * One stream being cut. `take` some bytes, then use and `drop` each chunk that `next` lends, until there is
 * none; at the end of the stream `rest` is the last chunk. Holds one buffer of 9 MiB, so keep and `reset` it.
 */
export class ReferenceChunker {
  readonly #tables: ChunkerTables
  readonly #buffer = Buffer.allocUnsafeSlow(maxChunk + gulp)
  #filled = 0 // bytes in the buffer, all of the current chunk unless a cut is found in them
  #looked = 0 // bytes of the current chunk that went through the fingerprint, or were skipped
  #high = 0
  #low = 0

  constructor(tables: ChunkerTables) {
    this.#tables = tables
  }

  /** Take up to 1 MiB of `bytes` from `from`; returns how many were taken. Then call `next` until it is undefined. */
  take(bytes: Uint8Array, from: number): number {
    const count = Math.min(gulp, bytes.length - from, this.#buffer.length - this.#filled)
    this.#buffer.set(
      from === 0 && count === bytes.length ? bytes : bytes.subarray(from, from + count),
      this.#filled,
    )
    this.#filled += count
    return count
  }

  /** The next whole chunk in what was taken, lent until `drop`; undefined if more bytes are needed. */
  next(): Buffer | undefined {
    const cut = this.#scan()
    return cut === 0 ? undefined : this.#buffer.subarray(0, cut)
  }

  /** Forget the chunk that `next` or `rest` lent. */
  drop(chunk: Buffer): void {
    this.#buffer.copyWithin(0, chunk.length, this.#filled)
    this.#filled -= chunk.length
    this.#looked = 0
  }

  /** What is left at the end of the stream: the last chunk whatever its size, undefined if nothing is. */
  rest(): Buffer | undefined {
    return this.#filled === 0 ? undefined : this.#buffer.subarray(0, this.#filled)
  }

  /** Forget everything, ready for another stream. */
  reset(): void {
    this.#filled = 0
    this.#looked = 0
  }

  /** The length of the current chunk if its border is within the buffer, else 0. */
  #scan(): number {
    const buffer = this.#buffer
    const filled = this.#filled
    // No border can lie before `minChunk`, so nothing is looked at until the window that ends there is here.
    if (filled < minChunk) return 0
    let at = this.#looked
    let high = this.#high
    let low = this.#low
    const { outHigh, outLow, modHigh, modLow } = this.#tables
    if (at === 0) {
      // The window starts as 1 followed by zeros, with digest 1: after 64 bytes only they are left in it.
      high = 0
      low = 1
      for (at = minChunk - window; at < minChunk; at++) {
        if (at === minChunk - 1) {
          high ^= outHigh[1]!
          low ^= outLow[1]!
        }
        const top = high >>> topBits
        high = (((high << 8) | (low >>> 24)) & highMask) ^ modHigh[top]!
        low = ((low << 8) | buffer[at]!) ^ modLow[top]!
      }
      if ((low & splitMask) === 0) return at
    }
    const end = filled < maxChunk ? filled : maxChunk
    while (at < end) {
      const leaving = buffer[at - window]!
      high ^= outHigh[leaving]!
      low ^= outLow[leaving]!
      const top = high >>> topBits
      high = (((high << 8) | (low >>> 24)) & highMask) ^ modHigh[top]!
      low = ((low << 8) | buffer[at]!) ^ modLow[top]!
      at++
      if ((low & splitMask) === 0) return at
    }
    if (at >= maxChunk) return maxChunk
    this.#looked = at
    this.#high = high
    this.#low = low
    return 0
  }
}

/** The lengths of the chunks of `data`. */
export function referenceLengths(tables: ChunkerTables, data: Uint8Array): number[] {
  const chunker = new ReferenceChunker(tables)
  const lengths: number[] = []
  for (let from = 0; from < data.length; ) {
    from += chunker.take(data, from)
    for (let chunk = chunker.next(); chunk; chunk = chunker.next()) {
      lengths.push(chunk.length)
      chunker.drop(chunk)
    }
  }
  const rest = chunker.rest()
  if (rest) lengths.push(rest.length)
  return lengths
}
