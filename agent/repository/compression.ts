// Zstandard, through Node's own zlib. One frame per blob, no dictionary.
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { damaged, RepositoryError } from './errors.ts'

/** Level 1 stored 24 % more than restic does on SQL text, level 2 the same. */
export const defaultCompressionLevel = 2

/** Decoding never allocates more than this ahead of what really comes out, whatever a header claims. */
const decodeStep = 8 * 1024 * 1024
const leastStep = 64 // zlib's own lower limit for a chunk

/** `plain` as one zstd frame with its content size; at `level` 1–22. */
export function compress(plain: Uint8Array, level: number): Buffer {
  return zstdCompressSync(plain, {
    // Room for the worst case, so that the result comes in one piece.
    chunkSize: plain.length + (plain.length >>> 8) + 512,
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_checksumFlag]: 0, // the MAC and the blob's hash say more
    },
  })
}

/**
 * What `packed` holds, at most `limit` bytes: more rejects with `too-large` before it is in memory, anything
 * that is not zstd with `damaged`.
 */
export function decompress(packed: Uint8Array, limit: number): Buffer {
  try {
    return zstdDecompressSync(packed, {
      maxOutputLength: Math.max(limit, 1),
      chunkSize: Math.max(leastStep, Math.min(limit, decodeStep)),
    })
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new RepositoryError('too-large', `compressed data exceeds its limit of ${limit} bytes`)
    }
    throw damaged('compressed data cannot be decoded', cause)
  }
}
