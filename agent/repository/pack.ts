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

/** A pack ready to be stored. */
export interface Pack {
  readonly id: Id
  readonly type: BlobType
  readonly bytes: Buffer
  /** Hex MD5 of `bytes`, made only where the store's uploads need it. */
  readonly md5: string | undefined
  readonly blobs: readonly PackedBlob[]
}

/** A pack being filled. */
export class OpenPack {
  readonly type: BlobType
  readonly #blobs: SealedBlob[] = []
  #bytes = 0
  #header = 0

  constructor(type: BlobType) {
    this.type = type
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

  add(blob: SealedBlob): void {
    this.#blobs.push(blob)
    this.#bytes += blob.sealed.length
    this.#header += entryLength(blob)
  }

  /** Take over everything that `other` holds. */
  absorb(other: OpenPack): void {
    for (const blob of other.#blobs) this.add(blob)
  }

  /**
   * Close the pack: append its header, read that back, and name the whole by its hash. The blobs' own buffers are
   * given up; the pack is of no use afterwards.
   */
  finish(key: SealingKey, random: Random, withMd5: boolean): Pack {
    let offset = 0
    const blobs = this.#blobs.map(({ id, type, sealed, uncompressedLength }): PackedBlob => {
      const blob = { id, type, offset, length: sealed.length, uncompressedLength }
      offset += sealed.length
      return blob
    })
    const header = seal(key, encodeHeader(blobs), random)
    const length = Buffer.alloc(lengthField)
    length.writeUInt32LE(header.length)
    const bytes = Buffer.concat([...this.#blobs.map((blob) => blob.sealed), header, length])
    for (const { sealed } of this.#blobs) release(sealed)
    this.#blobs.length = 0
    assertSame(blobs, readHeader(key, bytes))
    const md5 = withMd5 ? hash('md5', bytes, 'hex') : undefined
    return { id: idOf(bytes), type: this.type, bytes, md5, blobs }
  }
}

/**
 * The open packs of one blob type: two, chosen between at random for each blob, so that whoever sees the
 * stored sizes cannot tell where one chunk ends and which follows it (eprint 2025/532; restic since 0.18).
 */
export class PackSpread {
  readonly #type: BlobType
  readonly #random: Random
  readonly #open: [OpenPack, OpenPack]

  constructor(type: BlobType, random: Random) {
    this.#type = type
    this.#random = random
    this.#open = [new OpenPack(type), new OpenPack(type)]
  }

  /** Put a blob into one of the packs; returns a pack that is now full, to be finished and stored. */
  add(blob: SealedBlob): OpenPack | undefined {
    if (blob.sealed.length >= packTarget) {
      const alone = new OpenPack(this.#type)
      alone.add(blob)
      return alone
    }
    const which = this.#random(1)[0]! & 1
    const pack = this.#open[which]!
    pack.add(blob)
    if (!pack.isFull) return undefined
    this.#open[which] = new OpenPack(this.#type)
    return pack
  }

  /** Everything still open: one pack where both fit into the target together. */
  drain(): OpenPack[] {
    const [a, b] = this.#open
    this.#open[0] = new OpenPack(this.#type)
    this.#open[1] = new OpenPack(this.#type)
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
