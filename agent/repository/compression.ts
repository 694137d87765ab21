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
 * that is not zstd with `damaged`. Several frames in a row are one content, as restic's decoder has it.
 */
export function decompress(packed: Uint8Array, limit: number): Buffer {
  const first = decodeFrame(packed, limit)
  if (first.consumed === packed.length) return first.plain
  const parts = [first.plain]
  let length = first.plain.length
  for (let at = first.consumed; at < packed.length; ) {
    const { plain, consumed } = decodeFrame(packed.subarray(at), limit - length)
    parts.push(plain)
    length += plain.length
    at += consumed
  }
  return Buffer.concat(parts)
}

/** One frame and how many bytes of `packed` it took: Node 24's synchronous call stops after the first frame. */
function decodeFrame(packed: Uint8Array, limit: number): { plain: Buffer; consumed: number } {
  try {
    const decoded = zstdDecompressSync(packed, {
      maxOutputLength: Math.max(limit, 1),
      chunkSize: Math.max(leastStep, Math.min(limit, decodeStep)),
      info: true,
    }) as unknown as { buffer: Buffer; engine: { bytesWritten: number } }
    const { buffer: plain, engine } = decoded
    if (engine.bytesWritten === 0) throw damaged('compressed data ends in what is no frame')
    return { plain, consumed: engine.bytesWritten }
  } catch (cause) {
    if (cause instanceof RepositoryError) throw cause
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
      throw new RepositoryError('too-large', `compressed data exceeds its limit of ${limit} bytes`)
    }
    throw damaged('compressed data cannot be decoded', cause)
  }
}
