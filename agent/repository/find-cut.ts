// The search for chunk borders in shared memory; built from infra/wasm.
import { readFileSync } from 'node:fs'
import { type ChunkerTables, maxChunk, minChunk } from './chunker.ts'

/** Fixed in infra/wasm/find-cut.ts. */
const outTable = 2048
const modTable = 4096
const dataStart = 8192
const lanes = 5
const stretch = 8192
/** `findWide` searches this many bytes at a time. */
export const searchRound = lanes * stretch
const page = 65_536
const maximumPages = 16_384

interface FindCut {
  /** The first border at or after `at` and before `end`, as an address, or 0; `end − at` a multiple of `searchRound`. */
  findWide(at: number, end: number): number
  /** The same for any length, one byte after the other. */
  findNarrow(at: number, end: number): number
}

/** The part of WebAssembly that is used here; Node's own types leave it to browsers'. */
declare const WebAssembly: {
  readonly Memory: new (size: {
    initial: number
    maximum: number
    shared: boolean
  }) => { readonly buffer: SharedArrayBuffer }
  readonly Module: new (bytes: Uint8Array) => object
  readonly Instance: new (code: object, imports: object) => { readonly exports: unknown }
}

let code: object | undefined

/** Some shared memory in which borders can be searched. Holds nothing else than `bytes` of the caller's. */
export class CutMemory {
  readonly bytes: Buffer
  readonly memory: SharedArrayBuffer
  readonly #find: FindCut

  /** Room for `size` bytes. */
  constructor(tables: ChunkerTables, size: number) {
    const pages = Math.ceil((dataStart + size) / page)
    const memory = new WebAssembly.Memory({ initial: pages, maximum: maximumPages, shared: true })
    this.memory = memory.buffer
    const words = new Uint32Array(this.memory)
    for (let b = 0; b < 256; b++) {
      words[outTable / 4 + 2 * b] = tables.outLow[b]!
      words[outTable / 4 + 2 * b + 1] = tables.outHigh[b]!
      words[modTable / 4 + 2 * b] = tables.modLow[b]!
      // The byte that is reduced away stands above the 53 bits that replace it, and cancels itself out.
      words[modTable / 4 + 2 * b + 1] = tables.modHigh[b]! | (b << 21)
    }
    this.bytes = Buffer.from(this.memory, dataStart, size)
    code ??= new WebAssembly.Module(readFileSync(new URL('./find-cut.wasm', import.meta.url)))
    this.#find = new WebAssembly.Instance(code, { env: { memory } }).exports as FindCut
  }

  /** Where in `memory` the caller's bytes begin. */
  get offset(): number {
    return this.bytes.byteOffset
  }

  /**
   * Look for the end of the chunk that begins at `start`, from `from` (0 at first) on, in what is there: `filled` bytes.
   * `cut` is its end, or 0; then ask again with `from = looked` once more bytes are there. `last`: no more will come.
   */
  search(
    start: number,
    from: number,
    filled: number,
    last: boolean,
  ): { cut: number; looked: number } {
    const far = start + maxChunk
    const reach = Math.min(filled, far)
    let at = Math.max(from, start + minChunk)
    if (at <= reach) {
      const whole = Math.floor((reach + 1 - at) / searchRound) * searchRound
      const wide = whole > 0 ? this.#find.findWide(dataStart + at, dataStart + at + whole) : 0
      if (wide > 0) return { cut: wide - dataStart, looked: 0 }
      at += whole
      // What is less than a round waits for more bytes, unless none will come.
      if (at <= reach && (last || reach === far)) {
        const narrow = this.#find.findNarrow(dataStart + at, dataStart + reach + 1)
        if (narrow > 0) return { cut: narrow - dataStart, looked: 0 }
        at = reach + 1
      }
    }
    if (reach === far) return { cut: far, looked: 0 }
    if (last && filled > start) return { cut: filled, looked: 0 }
    return { cut: 0, looked: at }
  }
}
