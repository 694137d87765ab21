import { release } from './release.ts'

/** Memory in which blobs are opened one after the other. It grows to what the longest needed. */
export class OpeningRoom {
  #bytes: Buffer = Buffer.alloc(0)

  /** `length` bytes with anything in them, lent until the next call. */
  of(length: number): Buffer {
    if (length > this.#bytes.length) {
      release(this.#bytes)
      this.#bytes = Buffer.allocUnsafeSlow(length)
    }
    return this.#bytes.subarray(0, length)
  }

  /** Gives the memory back. */
  close(): void {
    release(this.#bytes)
    this.#bytes = Buffer.alloc(0)
  }
}
