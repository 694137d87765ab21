// Blobs: the pieces that a repository consists of, sealed one by one.
import { ivBytes, macBytes, open, openInto, type SealingKey, seal, sealOverhead } from './cipher.ts'
import { compress, decompress, decompressInto } from './compression.ts'
import { damaged, RepositoryError } from './errors.ts'
import { type Id, idOf, type Random } from './id.ts'
import { release } from './release.ts'

/** `data`: a chunk of a file. `tree`: a directory's listing. */
export type BlobType = 'data' | 'tree'

/** A blob as it lies in a pack. */
export interface PackedBlob {
  readonly id: Id
  readonly type: BlobType
  /** Bytes from the start of the pack. */
  readonly offset: number
  /** Length of the sealed blob in bytes, its overhead of 32 included. */
  readonly length: number
  /** Length before compression in bytes; 0 if it was stored plain. */
  readonly uncompressedLength: number
}

/** A blob ready to be put into a pack. */
export interface SealedBlob {
  readonly id: Id
  readonly type: BlobType
  readonly sealed: Buffer
  readonly uncompressedLength: number
}

/** Opening refuses blobs beyond this. A directory of a million entries is 400 MB; our chunks are at most 8 MiB. */
export const blobLimit = 1024 * 1024 * 1024

/** The length of a blob's content in bytes, as its entry tells it. */
export function plainLength(blob: { length: number; uncompressedLength: number }): number {
  return blob.uncompressedLength > 0 ? blob.uncompressedLength : blob.length - sealOverhead
}

/**
 * Compress where that helps, seal, and open again: what leaves here was seen to decrypt, decompress and hash
 * to its id, so a bad memory cell or a bug cannot store what nobody can restore.
 */
export function sealBlob(options: {
  key: SealingKey
  type: BlobType
  id: Id
  plain: Uint8Array
  /** zstd level 1–22; 0 stores data blobs plain. Trees are always compressed, as restic does. */
  level: number
  random: Random
}): SealedBlob {
  const { key, type, id, plain, level, random } = options
  const useful = plain.length > 0 && (level > 0 || type === 'tree')
  const packed = useful ? compress(plain, Math.max(level, 1)) : undefined
  const shrunk = packed !== undefined && packed.length < plain.length
  const uncompressedLength = shrunk ? plain.length : 0
  const sealed = seal(key, shrunk ? packed : plain, random)
  if (packed !== undefined) release(packed)
  try {
    release(openBlob({ key, id, sealed, uncompressedLength }))
  } catch (cause) {
    throw new RepositoryError('self-check-failed', `blob ${id} did not open again`, { cause })
  }
  return { id, type, sealed, uncompressedLength }
}

/** A sealed blob with what its entry says about it. */
export interface OpeningBlob {
  readonly key: SealingKey
  readonly id: Id
  readonly sealed: Uint8Array
  readonly uncompressedLength: number
}

/** The content of a sealed blob: MAC, length and hash all checked. Rejects with `damaged` or `too-large`. */
export function openBlob(blob: OpeningBlob): Buffer {
  const { key, id, sealed, uncompressedLength } = blob
  if (uncompressedLength > blobLimit) {
    throw new RepositoryError('too-large', `blob ${id} claims ${uncompressedLength} bytes`)
  }
  let plain = open(key, sealed)
  if (uncompressedLength > 0) {
    const packed = plain
    plain = decompress(packed, uncompressedLength)
    release(packed)
  }
  assertContent(blob, plain)
  return plain
}

/**
 * As `openBlob`, into a buffer of `plainLength(blob)` bytes. A compressed blob is decrypted into `decrypted`, 32 bytes
 * shorter than `sealed`; by default that is its place in `sealed`, which is of no use afterwards.
 */
export function openBlobInto(
  blob: OpeningBlob,
  into: Uint8Array,
  decrypted: Uint8Array = blob.sealed.subarray(ivBytes, -macBytes),
): void {
  const { key, sealed, uncompressedLength } = blob
  if (uncompressedLength === 0) {
    openInto(key, sealed, into)
    assertContent(blob, into)
    return
  }
  openInto(key, sealed, decrypted)
  assertContent(blob, into.subarray(0, decompressInto(decrypted, into)))
}

function assertContent({ id, uncompressedLength }: OpeningBlob, plain: Uint8Array): void {
  if (uncompressedLength > 0 && plain.length !== uncompressedLength) {
    throw damaged(`blob ${id} has ${plain.length} bytes, not ${uncompressedLength} as listed`)
  }
  if (idOf(plain) !== id) throw damaged(`blob ${id} has other content than its id says`)
}
