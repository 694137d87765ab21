// Memory for small files between their read and the moment the writer has done with them.

/** Bytes of one slab, which is free again when the last file in it is saved. */
const SLAB_BYTES = 1 << 20
/** What four threads of the writer have in hand, and two more being filled: about six hundred files of 10 kB. */
const SLABS = 6

interface Slab {
  readonly bytes: Buffer
  used: number
  /** Files in it that are not saved yet. */
  files: number
}

export class ReadRoom {
  readonly #most: number
  readonly #free: Slab[] = []
  #made = 0
  #open: Slab | undefined
  #waiting: PromiseWithResolvers<void> | undefined

  /** `most` bytes may be taken at a time. */
  constructor(most: number) {
    this.#most = most
  }

  /** Resolves when `take` may be called; undefined if that is now. */
  ready(): Promise<void> | undefined {
    if (this.#hasRoom()) return undefined
    this.#waiting ??= Promise.withResolvers()
    return this.#waiting.promise
  }

  /** Room for one file, to be given back. To be called when `ready`. */
  take(length: number): { bytes: Buffer; release: () => void } {
    if (!this.#hasRoom()) throw new Error('no room for another file: call it when ready')
    if (this.#open === undefined || !this.#fits(this.#open)) this.#open = this.#next()
    const slab = this.#open
    const bytes = slab.bytes.subarray(slab.used, slab.used + length)
    slab.used += length
    slab.files++
    return { bytes, release: () => this.#release(slab) }
  }

  #hasRoom(): boolean {
    if (this.#open !== undefined && this.#fits(this.#open)) return true
    return this.#free.length > 0 || this.#made < SLABS
  }

  #fits({ used }: Slab): boolean {
    return SLAB_BYTES - used >= this.#most
  }

  #next(): Slab {
    const free = this.#free.pop()
    if (free !== undefined) return free
    this.#made++
    return { bytes: Buffer.allocUnsafeSlow(SLAB_BYTES), used: 0, files: 0 }
  }

  #release(slab: Slab): void {
    if (--slab.files > 0) return
    slab.used = 0
    // The open one goes on from its beginning.
    if (slab !== this.#open) this.#free.push(slab)
    this.#waiting?.resolve()
    this.#waiting = undefined
  }
}
