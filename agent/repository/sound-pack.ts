// Looking at every byte of a pack while it comes in, in pieces: what is held is some megabytes and not the pack.
import { type ObjectStore, StorageError } from '../storage/object-store.ts'
import { growingHash, idOfLong } from './background-hash.ts'
import { decompressBeside } from './background-open.ts'
import { type PackedBlob, plainLength } from './blob.ts'
import type { PackToCheck } from './check-pack-data.ts'
import { ivBytes, macBytes, open, openInto, type SealingKey } from './cipher.ts'
import { decompress } from './compression.ts'
import { RepositoryError } from './errors.ts'
import { idOf } from './id.ts'
import { objectKey } from './layout.ts'
import type { OpeningRoom, OpeningRooms } from './opening-room.ts'
import { encodeHeader, lengthField } from './pack-header.ts'
import { release } from './release.ts'

/** Bytes asked for at a time, unless one blob is longer. A pack is four requests: each costs more than its bytes do. */
const pieceLimit = 4 * 1024 * 1024
/** Ours have at most 8 MiB; those of other programs may be longer. Bytes. */
const usualBlob = 8 * 1024 * 1024
/** Longer blobs than this are hashed beside this thread. */
const longBlob = 128 * 1024

/** Neighbouring blobs, fetched by one request; the last piece ends with the header. */
interface Piece {
  readonly offset: number
  end: number
  readonly blobs: PackedBlob[]
}

export interface SoundPackOptions {
  readonly store: ObjectStore
  readonly key: SealingKey
  /** Its blobs follow each other without gap or overlap. */
  readonly pack: PackToCheck
  /** The size of the pack in bytes, as its blobs make it and as it is stored. */
  readonly size: number
  readonly rooms: OpeningRooms
}

/**
 * Whether a pack is wholly as it should be: name, header, every blob. What is wrong with one that is not,
 * `packFaults` tells. Rejects where the store does not answer or refuses.
 */
export async function isSoundPack(options: SoundPackOptions): Promise<boolean> {
  const { store, key, pack, size, rooms } = options
  const pieces = piecesOf(pack, size)
  const hash = growingHash()

  /** The blobs of a piece, or of its part up to the one that is damaged. */
  async function isSoundPiece(piece: Piece, bytes: Uint8Array, room: OpeningRoom) {
    // Blobs are decrypted in their place, so this comes first.
    await hash.update(bytes)
    for (const blob of piece.blobs) {
      const from = blob.offset - piece.offset
      if (!(await opens(key, blob, bytes.subarray(from, from + blob.length), room))) return false
    }
    if (piece.end < size) return true
    const last = piece.blobs.at(-1)!
    const tail = bytes.subarray(last.offset + last.length - piece.offset)
    return isHeader(key, pack, tail) && hash.digest() === pack.id
  }

  try {
    for (const piece of pieces) {
      const range = { offset: piece.offset, length: piece.end - piece.offset }
      const bytes = await store.get(objectKey('data', pack.id), range)
      if (!(await rooms.lend((room) => isSoundPiece(piece, bytes, room)))) return false
      release(bytes)
    }
    return pieces.length > 0
  } catch (error) {
    if (error instanceof RepositoryError || isLost(error)) return false
    throw error
  }
}

function piecesOf({ blobs }: PackToCheck, size: number): Piece[] {
  const pieces: Piece[] = []
  for (const blob of blobs) {
    const end = blob.offset + blob.length
    const last = pieces.at(-1)
    if (last !== undefined && end - last.offset <= pieceLimit) {
      last.blobs.push(blob)
      last.end = end
    } else pieces.push({ offset: blob.offset, end, blobs: [blob] })
  }
  const last = pieces.at(-1)
  if (last !== undefined) last.end = size
  return pieces
}

/** Whether a sealed blob opens to what it is listed as; decrypts it in its place. */
async function opens(
  key: SealingKey,
  blob: PackedBlob,
  sealed: Uint8Array,
  room: OpeningRoom,
): Promise<boolean> {
  const length = plainLength(blob)
  let plain: Uint8Array = sealed.subarray(ivBytes, sealed.length - macBytes)
  openInto(key, sealed, plain)
  if (blob.uncompressedLength > 0) {
    if (length > usualBlob) {
      // Memory for this is taken only once the frame itself says that it holds so much.
      const long = decompress(plain, length)
      const same = long.length === length && (await idOfLong(long)) === blob.id
      release(long)
      return same
    }
    const into = room.of(length)
    if ((await decompressBeside(plain, into)) !== length) return false
    plain = into
  }
  const id = length < longBlob ? idOf(plain) : await idOfLong(plain)
  return id === blob.id
}

function isHeader(key: SealingKey, { blobs }: PackToCheck, tail: Uint8Array): boolean {
  const bytes = Buffer.from(tail.buffer, tail.byteOffset, tail.byteLength)
  const end = bytes.length - lengthField
  return (
    bytes.readUInt32LE(end) === end && open(key, bytes.subarray(0, end)).equals(encodeHeader(blobs))
  )
}

function isLost(error: unknown): boolean {
  return error instanceof StorageError && (error.code === 'absent' || error.code === 'truncated')
}
