// Packs: sealed blobs gathered into objects of about 16 MiB, so that a store keeps few objects.
import { hash } from 'node:crypto'
import type { BlobType, PackedBlob, SealedBlob } from './blob.ts'
import { type SealingKey, seal } from './cipher.ts'
import { RepositoryError } from './errors.ts'
import { type Id, idOf, type Random } from './id.ts'
import { encodeHeader, entryLength, headerLimit, lengthField, readHeader } from './pack-header.ts'
import { release } from './release.ts'

/** A pack is closed once it has this many bytes: restic's default. */
export const packTarget = 16 * 1024 * 1024
/** Entries after which a header counts as full, with room to spare below the limit of 16 MiB. */
const fullHeader = headerLimit / 2

/** A pack that is full by its last blob, a chunk of 8 MiB at most, and a header of usual length. */
const bufferBytes = packTarget + 9 * 1024 * 1024

/** A pack ready to be stored. */
export interface Pack {
  readonly id: Id
  readonly type: BlobType
  /** Lent until it is stored: the memory serves another pack afterwards. */
  readonly bytes: Buffer
  /** Hex MD5 of `bytes`, made only where the store's uploads need it. */
  readonly md5: string | undefined
  readonly blobs: readonly PackedBlob[]
}

/** A pack with its header, without its name. */
export type ClosedPack = Omit<Pack, 'id' | 'md5'>

/** A pack being filled. */
export class OpenPack {
  readonly type: BlobType
  readonly #buffers: PackBuffers
  readonly #blobs: PackedBlob[] = []
  #buffer: Buffer | undefined
  #bytes = 0
  #header = 0

  constructor(type: BlobType, buffers: PackBuffers = new PackBuffers()) {
    this.type = type
    this.#buffers = buffers
  }

  /** Sealed bytes so far. */
  get bytes(): number {
    return this.#bytes
  }

  get isEmpty(): boolean {
    return this.#blobs.length === 0
  }

  get isFull(): boolean {
    return this.#bytes >= packTarget || this.#header >= fullHeader
  }

  /** Put a sealed blob in. Its own buffer is given up. */
  add(blob: SealedBlob): void {
    this.place({ ...blob, length: blob.sealed.length }).set(blob.sealed)
    release(blob.sealed)
  }

  /** Make room for a sealed blob, to be written there at once. */
  place(blob: Omit<PackedBlob, 'offset'>): Buffer {
    const { id, type, length, uncompressedLength } = blob
    const offset = this.#bytes
    const room = this.#room(length)
    this.#blobs.push({ id, type, offset, length, uncompressedLength })
    this.#header += entryLength(blob)
    this.#bytes += length
    return room
  }

  /** Take over everything that `other` holds. */
  absorb(other: OpenPack): void {
    for (const blob of other.#blobs) {
      const end = blob.offset + blob.length
      this.place(blob).set(other.#buffer!.subarray(blob.offset, end))
    }
    if (other.#buffer !== undefined) other.#buffers.give(other.#buffer)
    other.#buffer = undefined
    other.#blobs.length = 0
    other.#bytes = 0
  }

  /** Append the header and read that back. Nothing more may be put in. */
  close(key: SealingKey, random: Random): ClosedPack {
    const blobs = this.#blobs
    const header = seal(key, encodeHeader(blobs), random)
    const room = this.#room(header.length + lengthField)
    room.set(header)
    room.writeUInt32LE(header.length, header.length)
    const bytes = this.#buffer!.subarray(0, this.#bytes + room.length)
    assertSame(blobs, readHeader(key, bytes))
    return { type: this.type, bytes, blobs }
  }

  /** Close the pack and name it by its hash. */
  finish(key: SealingKey, random: Random, withMd5: boolean): Pack {
    const closed = this.close(key, random)
    const { bytes } = closed
    return { ...closed, id: idOf(bytes), md5: withMd5 ? hash('md5', bytes, 'hex') : undefined }
  }

  /** The next `length` bytes, in a larger buffer if they do not fit: a huge blob, or a header of many small ones. */
  #room(length: number): Buffer {
    const needed = this.#bytes + length
    const before = this.#buffer
    if (before === undefined || before.length < needed) {
      this.#buffer = this.#buffers.take(needed)
      if (before !== undefined) {
        this.#buffer.set(before.subarray(0, this.#bytes))
        this.#buffers.give(before)
      }
    }
    return this.#buffer!.subarray(this.#bytes, needed)
  }
}

/** Memory for packs. One buffer is kept for the next pack; what was never written to is no memory yet. */
export class PackBuffers {
  static readonly bytes = bufferBytes
  #spare: Buffer | undefined
  /** Buffers taken and not given back. */
  taken = 0

  take(atLeast: number): Buffer {
    this.taken++
    if (atLeast > bufferBytes) return Buffer.allocUnsafeSlow(atLeast)
    const spare = this.#spare
    this.#spare = undefined
    return spare ?? Buffer.allocUnsafeSlow(bufferBytes)
  }

  /** Take back a buffer, or a part of one that begins where it begins. */
  give(buffer: Buffer): void {
    this.taken--
    const memory = buffer.buffer
    if (memory.byteLength === bufferBytes && this.#spare === undefined) {
      this.#spare = Buffer.from(memory)
    } else release(buffer)
  }
}

/**
 * The open packs of one blob type: two, chosen between at random for each blob, so that whoever sees the
 * stored sizes cannot tell where one chunk ends and which follows it (eprint 2025/532; restic since 0.18).
 */
export class PackSpread {
  readonly #type: BlobType
  readonly #random: Random
  readonly #buffers: PackBuffers
  readonly #open: [OpenPack, OpenPack]

  constructor(type: BlobType, random: Random, buffers: PackBuffers = new PackBuffers()) {
    this.#type = type
    this.#random = random
    this.#buffers = buffers
    this.#open = [new OpenPack(type, buffers), new OpenPack(type, buffers)]
  }

  /** Put a blob into one of the packs; returns a pack that is now full, to be finished and stored. */
  add(blob: SealedBlob): OpenPack | undefined {
    const { room, full } = this.place({ ...blob, length: blob.sealed.length })
    room.set(blob.sealed)
    release(blob.sealed)
    return full
  }

  /** As `add`, for a blob that is written into `room` by the caller, at once. */
  place(blob: Omit<PackedBlob, 'offset'>): { room: Buffer; full: OpenPack | undefined } {
    if (blob.length >= packTarget) {
      const alone = new OpenPack(this.#type, this.#buffers)
      return { room: alone.place(blob), full: alone }
    }
    const which = this.#random(1)[0]! & 1
    const pack = this.#open[which]!
    const room = pack.place(blob)
    if (!pack.isFull) return { room, full: undefined }
    this.#open[which] = new OpenPack(this.#type, this.#buffers)
    return { room, full: pack }
  }

  /** Everything still open: one pack where both fit into the target together. */
  drain(): OpenPack[] {
    const [a, b] = this.#open
    this.#open[0] = new OpenPack(this.#type, this.#buffers)
    this.#open[1] = new OpenPack(this.#type, this.#buffers)
    if (a.bytes + b.bytes <= packTarget) {
      a.absorb(b)
      return a.isEmpty ? [] : [a]
    }
    return [a, b].filter((pack) => !pack.isEmpty)
  }
}

function assertSame(written: readonly PackedBlob[], read: readonly PackedBlob[]): void {
  const same =
    written.length === read.length &&
    written.every((blob, i) => {
      const other = read[i]!
      return (
        blob.id === other.id &&
        blob.type === other.type &&
        blob.offset === other.offset &&
        blob.length === other.length &&
        blob.uncompressedLength === other.uncompressedLength
      )
    })
  if (!same) {
    throw new RepositoryError('self-check-failed', 'a pack header did not read back as written')
  }
}
