// Small blobs, gathered so that a thread gets many of them at a time.
import type { BlobType } from './blob.ts'
import { primitives } from './primitives.ts'
import { nextTurn } from './turn.ts'

/** Bytes of one batch: some milliseconds of work for a thread. */
export const slabBytes = 1024 * 1024
/** Batches being filled, worked on or waiting: as many as keep four threads busy. */
const slabCount = 6

/** A blob in a batch, where it lies in the batch's memory. */
export interface BatchedBlob<Saved> {
  readonly type: BlobType
  readonly offset: number
  readonly length: number
  resolve(saved: Saved): void
  reject(error: unknown): void
}

interface Slab<Saved> {
  readonly memory: SharedArrayBuffer
  readonly bytes: Buffer
  used: number
  blobs: BatchedBlob<Saved>[]
}

export interface SmallBlobsDeps<Saved> {
  /** Work through a batch: every blob of it resolves or rejects before this does. */
  work(memory: SharedArrayBuffer, blobs: readonly BatchedBlob<Saved>[]): Promise<void>
  /** Whether a batch would only wait if it was given away now: then it may as well grow. */
  isBusy(): boolean
}

export class SmallBlobs<Saved> {
  readonly #deps: SmallBlobsDeps<Saved>
  readonly #free: Slab<Saved>[] = []
  #made = 0
  #open: Slab<Saved> | undefined
  readonly #waiting: (() => void)[] = []

  constructor(deps: SmallBlobsDeps<Saved>) {
    this.#deps = deps
  }

  /** Bytes held for batches. */
  get held(): number {
    return this.#made * slabBytes
  }

  /** Save a blob of at most `slabBytes`, given in parts, which are copied at once or as soon as a batch is free. */
  async save(type: BlobType, parts: readonly Uint8Array[], length: number): Promise<Saved> {
    while (this.#open === undefined || slabBytes - this.#open.used < length) {
      this.send()
      this.#open = this.#take()
      if (this.#open === undefined) await new Promise<void>((go) => this.#waiting.push(go))
    }
    const slab = this.#open
    const offset = slab.used
    for (const part of parts) {
      const end = slab.used + part.length
      primitives.copy(part, slab.bytes.subarray(slab.used, end))
      slab.used = end
    }
    if (slab.blobs.length === 0) this.#sendSoon(slab)
    return new Promise((resolve, reject) => {
      slab.blobs.push({ type, offset, length, resolve, reject })
    })
  }

  /** Give away what was gathered so far. */
  send(): void {
    const slab = this.#open
    if (slab === undefined || slab.blobs.length === 0) return
    this.#open = undefined
    this.#deps.work(slab.memory, slab.blobs).finally(() => {
      slab.used = 0
      slab.blobs = []
      this.#free.push(slab)
      for (const go of this.#waiting.splice(0)) go()
    })
  }

  /** What is saved in this turn goes together. */
  async #sendSoon(slab: Slab<Saved>): Promise<void> {
    await nextTurn()
    if (this.#open === slab && !this.#deps.isBusy()) this.send()
  }

  #take(): Slab<Saved> | undefined {
    const free = this.#free.pop()
    if (free !== undefined || this.#made === slabCount) return free
    this.#made++
    const memory = new SharedArrayBuffer(slabBytes)
    return { memory, bytes: Buffer.from(memory), used: 0, blobs: [] }
  }
}
