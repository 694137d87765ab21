// Content-defined cuts: restic's Rabin fingerprint over a window of 64 bytes (github.com/restic/chunker).
// A cut depends on content alone, so the same data gives the same chunks whatever reads it comes in. A border lies where
// the digest of the last 64 bytes ends in 20 zero bits: every 2^20 bytes on average, beyond the least size.
// Here are the tables; the search is WebAssembly (find-cut.ts).
import { degree, mod } from './polynomial.ts'

/** restic's own parameters, in bytes: others would be valid, but would not dedup against stock clients. */
export const minChunk = 512 * 1024
export const maxChunk = 8 * 1024 * 1024
const window = 64

/** Fingerprint tables of one polynomial, each value as upper and lower 32 bits. */
export interface ChunkerTables {
  readonly outHigh: Int32Array
  readonly outLow: Int32Array
  readonly modHigh: Int32Array
  readonly modLow: Int32Array
}

/** `out[b]`: the share in the digest of a byte about to leave the window; `mod[b]`: how 8 top bits reduce. */
export function chunkerTables(polynomial: bigint): ChunkerTables {
  const tables = {
    outHigh: new Int32Array(256),
    outLow: new Int32Array(256),
    modHigh: new Int32Array(256),
    modLow: new Int32Array(256),
  }
  const k = BigInt(degree(polynomial))
  for (let b = 0; b < 256; b++) {
    let out = mod(BigInt(b), polynomial)
    for (let i = 0; i < window - 1; i++) out = mod(out << 8n, polynomial)
    tables.outHigh[b] = Number(out >> 32n)
    tables.outLow[b] = Number(out & 0xffffffffn)
    const reduced = mod(BigInt(b) << k, polynomial)
    tables.modHigh[b] = Number(reduced >> 32n)
    tables.modLow[b] = Number(reduced & 0xffffffffn)
  }
  return tables
}
