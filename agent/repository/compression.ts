// Zstandard: one frame per blob, no dictionary.
import { primitives } from './primitives.ts'

/** Level 1 stored 24 % more than restic does on SQL text, level 2 the same. */
export const defaultCompressionLevel = 2

/** `plain` as one zstd frame with its content size; at `level` 1–22. */
export function compress(plain: Uint8Array, level: number): Buffer {
  const room = Buffer.allocUnsafe(compressedLimit(plain.length))
  const packed = room.subarray(0, primitives.compress(plain, level, room))
  // A view would keep all of the room alive for as long as the result lives.
  return packed.length * 2 < room.length ? Buffer.from(packed) : packed
}

/** The most bytes that `length` bytes can become. */
export function compressedLimit(length: number): number {
  return length + (length >>> 8) + 512
}

/**
 * What `packed` holds, at most `limit` bytes: more rejects with `too-large` before it is in memory, anything
 * that is not zstd with `damaged`. Several frames in a row are one content, as restic's decoder has it.
 */
export function decompress(packed: Uint8Array, limit: number): Buffer {
  return primitives.decompress(packed, limit)
}

/** As `decompress`, into a buffer whose length is the limit. Returns how many bytes there were. */
export function decompressInto(packed: Uint8Array, into: Uint8Array): number {
  return primitives.decompressInto(packed, into)
}
