// The sealed list at the end of a pack that says which blobs it holds.
import type { BlobType, PackedBlob } from './blob.ts'
import { open, type SealingKey, sealOverhead } from './cipher.ts'
import { damaged, RepositoryError } from './errors.ts'
import { idBytes } from './id.ts'

const plainEntry = 1 + 4 + idBytes
const compressedEntry = plainEntry + 4
/** The last four bytes of a pack: the length of its sealed header. */
export const lengthField = 4
/** restic reads no longer header; ours stay far below it. */
export const headerLimit = 16 * 1024 * 1024

/** The length in bytes of one blob's header entry. */
export function entryLength(blob: { uncompressedLength: number }): number {
  return blob.uncompressedLength > 0 ? compressedEntry : plainEntry
}

/** The size in bytes of a whole pack that holds exactly `blobs`. */
export function packSize(blobs: Iterable<Omit<PackedBlob, 'id'>>): number {
  let size = sealOverhead + lengthField
  for (const blob of blobs) size += blob.length + entryLength(blob)
  return size
}

/** The header's plaintext: one entry per blob, in the order of their offsets. */
export function encodeHeader(blobs: readonly PackedBlob[]): Buffer {
  const out = Buffer.alloc(blobs.reduce((sum, blob) => sum + entryLength(blob), 0))
  let at = 0
  for (const blob of blobs) {
    const compressed = blob.uncompressedLength > 0
    at = out.writeUInt8((compressed ? 2 : 0) + (blob.type === 'tree' ? 1 : 0), at)
    at = out.writeUInt32LE(blob.length, at)
    if (compressed) at = out.writeUInt32LE(blob.uncompressedLength, at)
    at += out.write(blob.id, at, 'hex')
  }
  return out
}

/** The blobs that a header's plaintext lists, offsets summed up from 0. Rejects with `damaged`. */
export function decodeHeader(plain: Buffer): PackedBlob[] {
  const blobs: PackedBlob[] = []
  let offset = 0
  for (let at = 0; at < plain.length; ) {
    const kind = plain[at]!
    if (kind > 3) throw damaged(`a pack header holds an entry of type ${kind}`)
    const size = kind >= 2 ? compressedEntry : plainEntry
    if (at + size > plain.length) throw damaged('a pack header ends inside an entry')
    const type: BlobType = (kind & 1) === 1 ? 'tree' : 'data'
    const length = plain.readUInt32LE(at + 1)
    const uncompressedLength = kind >= 2 ? plain.readUInt32LE(at + 5) : 0
    if (length < sealOverhead) throw damaged('a pack header lists a blob shorter than its seal')
    if (kind >= 2 && uncompressedLength === 0) {
      throw damaged('a pack header lists an empty blob as compressed')
    }
    const id = plain.toString('hex', at + size - idBytes, at + size)
    blobs.push({ id, type, offset, length, uncompressedLength })
    offset += length
    at += size
  }
  return blobs
}

/**
 * The blobs of a whole pack by its own header, which must account for every byte. Rejects with `damaged`.
 * Neither the pack's name nor the blobs themselves are checked.
 */
export function readHeader(key: SealingKey, pack: Uint8Array): PackedBlob[] {
  const bytes = Buffer.from(pack.buffer, pack.byteOffset, pack.byteLength)
  if (bytes.length < lengthField + sealOverhead + plainEntry) throw damaged('a pack is too short')
  const length = bytes.readUInt32LE(bytes.length - lengthField)
  if (length > headerLimit) throw new RepositoryError('too-large', 'a pack header is too long')
  const start = bytes.length - lengthField - length
  if (start < 0) throw damaged('a pack is shorter than its header')
  const blobs = decodeHeader(open(key, bytes.subarray(start, bytes.length - lengthField)))
  if (packSize(blobs) !== bytes.length) throw damaged('a pack has bytes its header does not list')
  return blobs
}
