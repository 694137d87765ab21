// The same arithmetic by node:crypto, node:zlib and plain JavaScript: for a Node that does not lay open its own library.
import { createCipheriv, hash } from 'node:crypto'
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { assertLength } from './assert-length.ts'
import { damaged, RepositoryError } from './errors.ts'
import { portableOneTimeAuth } from './poly1305.ts'
import type { Primitives } from './primitives.ts'

/** Decoding never allocates more than this ahead of what really comes out, whatever a header claims. */
const decodeStep = 8 * 1024 * 1024
const leastStep = 64 // zlib's own lower limit for a chunk

/** More than any blob holds. */
const largestHashed = 2 ** 30

export const portablePrimitives: Primitives = {
  name: 'portable',
  copy(from, into) {
    assertLength(into, from.length)
    into.set(from)
  },
  sha256(bytes, digest) {
    assertLength(digest, 32)
    digest.set(hash('sha256', bytes, 'buffer'))
  },
  md5(bytes, digest) {
    assertLength(digest, 16)
    digest.set(hash('md5', bytes, 'buffer'))
  },
  aes256Ctr(key, iv, from, into) {
    assertLength(key, 32)
    assertLength(iv, 16)
    assertLength(into, from.length)
    if (from.length > 0) into.set(createCipheriv('aes-256-ctr', key, iv).update(from))
  },
  hashDecrypted(key, iv, from, digest) {
    assertLength(key, 32)
    assertLength(iv, 16)
    assertLength(digest, 32)
    digest.set(hash('sha256', createCipheriv('aes-256-ctr', key, iv).update(from), 'buffer'))
  },
  hashDecompressed(packed, digest) {
    assertLength(digest, 32)
    const { plain, consumed } = decodeFrame(packed, largestHashed)
    if (consumed !== packed.length) throw damaged('bytes follow compressed data')
    digest.set(hash('sha256', plain, 'buffer'))
    return plain.length
  },
  aes128Block(key, block, into) {
    assertLength(key, 16)
    assertLength(block, 16)
    assertLength(into, 16)
    const cipher = createCipheriv('aes-128-ecb', key, null)
    cipher.setAutoPadding(false)
    into.set(cipher.update(block))
  },
  poly1305(tag, message, key) {
    assertLength(tag, 16)
    assertLength(key, 32)
    portableOneTimeAuth(tag, message, key)
  },
  compress(plain, level, into) {
    const packed = zstdCompressSync(plain, {
      // Room for the worst case, so that the result comes in one piece.
      chunkSize: plain.length + (plain.length >>> 8) + 512,
      params: {
        [constants.ZSTD_c_compressionLevel]: level,
        [constants.ZSTD_c_checksumFlag]: 0, // the MAC and the blob's hash say more
      },
    })
    if (packed.length > into.length) return 0
    into.set(packed)
    return packed.length
  },
  decompress,
  decompressInto(packed, into) {
    const plain = decompress(packed, into.length)
    into.set(plain)
    return plain.length
  },
}

function decompress(packed: Uint8Array, limit: number): Buffer {
  const first = decodeFrame(packed, limit)
  if (first.consumed === packed.length) return first.plain
  const parts = [first.plain]
  let total = first.plain.length
  for (let at = first.consumed; at < packed.length; ) {
    const { plain, consumed } = decodeFrame(packed.subarray(at), limit - total)
    parts.push(plain)
    total += plain.length
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
    if (plain.length > limit) throw tooLarge(limit)
    return { plain, consumed: engine.bytesWritten }
  } catch (cause) {
    if (cause instanceof RepositoryError) throw cause
    if ((cause as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(limit)
    throw damaged('compressed data cannot be decoded', cause)
  }
}

function tooLarge(limit: number): RepositoryError {
  return new RepositoryError('too-large', `compressed data exceeds its limit of ${limit} bytes`)
}
