// Writing packs anew: what is still needed of them goes into new packs, stored before the old are given up.
import { StorageError } from '../storage/object-store.ts'
import type { BlobType, PackedBlob, SealedBlob } from './blob.ts'
import { open, seal } from './cipher.ts'
import { decompress } from './compression.ts'
import { damaged, RepositoryError } from './errors.ts'
import { type Clock, type Id, idOf, type Random } from './id.ts'
import type { BlobIndex } from './index.ts'
import { encodeIndex, fullIndex, type IndexedPack, indexAge } from './index-file.ts'
import { type OpenPack, type Pack, PackBuffers, PackSpread } from './pack.ts'
import type { BlobMarks } from './prune-marks.ts'
import type { PackTable } from './prune-packs.ts'
import { release } from './release.ts'
import type { Repository } from './repository.ts'
import { sealUnpacked } from './unpacked.ts'
import type { IndexFile } from './writer.ts'

/** Needed blobs that lie closer together than this many bytes are fetched by one request. */
const gapLimit = 256 * 1024
/** One request asks for no more than about this many bytes, unless a single blob is longer. */
const spanLimit = 8 * 1024 * 1024
/** New packs on their way at a time, of about 16 MiB each. */
const uploads = 2

export interface RepackerOptions {
  readonly repository: Repository
  readonly index: BlobIndex
  readonly table: PackTable
  readonly marks: BlobMarks
  readonly random: Random
  readonly clock: Clock
  /** Part of a stored pack. */
  readonly read: (pack: Id, range: { offset: number; length: number }) => Promise<Uint8Array>
  /** Store a pack; resolves once it is durable. */
  readonly onPack: (pack: Pack) => Promise<void>
  /** Store an index file; resolves once it is durable. */
  readonly onIndex: (file: IndexFile) => Promise<void>
}

export interface Repacked {
  /** For each pack that was written anew, by its number: the packs that hold what is needed of it now. */
  readonly heirs: ReadonlyMap<number, ReadonlySet<Id>>
  /** Packs that could not be written anew because a needed blob of theirs cannot be read: they stay. */
  readonly damaged: readonly number[]
  /** New packs that no index file lists yet. */
  readonly unlisted: readonly IndexedPack[]
}

/**
 * Carries needed blobs into new packs, one pack after the other. A blob is decrypted, decompressed, compared with
 * its id, and sealed again under a fresh IV around the same compressed bytes: nothing is compressed anew, and a
 * store that watches cannot find old ciphertext in new packs, which would tell it where chunks begin and end.
 *
 * If we die at any point, old packs and their index entries are untouched, and what was carried over is in two
 * places or in no index file: both are legal, and the next prune tidies up.
 */
export class Repacker {
  readonly #options: RepackerOptions
  readonly #buffers = new PackBuffers()
  readonly #spread: { readonly [type in BlobType]: PackSpread }
  /** Which pack each blob in an open pack came from. */
  readonly #cameFrom = new Map<Id, number>()
  readonly #heirs = new Map<number, Set<Id>>()
  readonly #damaged: number[] = []
  readonly #onTheWay = new Set<Promise<void>>()
  #unlisted: IndexedPack[] = []
  #unlistedBlobs = 0
  #oldestUnlisted = 0
  #failure: { readonly cause: unknown } | undefined

  constructor(options: RepackerOptions) {
    this.#options = options
    this.#spread = {
      data: new PackSpread('data', options.random, this.#buffers),
      tree: new PackSpread('tree', options.random, this.#buffers),
    }
  }

  /** Carry over what is needed of one pack. A store that does not answer rejects, and ends the whole repack. */
  async repack(pack: number): Promise<void> {
    const { table, marks } = this.#options
    const done = new Set<number>()
    const needed = table.blobsOf(pack).filter(({ type, id }) => {
      const blob = marks.numberOf(type, id)
      // A foreign pack may hold the same blob twice.
      return marks.keeperOf(blob) === pack && !done.has(blob) && done.add(blob)
    })
    this.#heirs.set(pack, new Set())
    try {
      for (const span of spansOf(needed)) await this.#carry(pack, span)
    } catch (error) {
      if (!isDamage(error)) throw error
      // What was carried over already is there twice; the old pack stays as it is.
      this.#heirs.delete(pack)
      this.#damaged.push(pack)
    }
  }

  /** Store everything carried over so far. Call it once, at the end. */
  async finish(): Promise<Repacked> {
    for (const type of ['data', 'tree'] as const) {
      for (const pack of this.#spread[type].drain()) await this.#send(pack)
    }
    await Promise.all(this.#onTheWay)
    this.#assertUsable()
    return { heirs: this.#heirs, damaged: this.#damaged, unlisted: this.#unlisted }
  }

  async #carry(pack: number, span: readonly PackedBlob[]): Promise<void> {
    const { table, read } = this.#options
    const { id } = table.packs[pack]!
    const offset = span[0]!.offset
    const last = span.at(-1)!
    const length = last.offset + last.length - offset
    const bytes = await read(id, { offset, length }).catch((error: unknown) => {
      if (isDamage(error)) return undefined
      throw error
    })
    for (const blob of span) {
      const from = blob.offset - offset
      const resealed = this.#reseal(blob, bytes?.subarray(from, from + blob.length))
      await this.#add(pack, resealed ?? (await this.#elsewhere(blob, id)))
    }
  }

  /** The blob under a new seal; undefined if these are not its bytes. */
  #reseal(blob: PackedBlob, sealed: Uint8Array | undefined): SealedBlob | undefined {
    if (sealed?.length !== blob.length) return undefined
    const { repository, random } = this.#options
    const key = repository.masterKey
    let packed: Buffer
    try {
      packed = open(key, sealed)
      assertContent(blob, packed)
    } catch (error) {
      if (isDamage(error)) return undefined
      throw error
    }
    const again = seal(key, packed, random)
    const opened = open(key, again)
    const same = opened.equals(packed)
    release(opened)
    release(packed)
    if (!same) {
      throw new RepositoryError('self-check-failed', `blob ${blob.id} did not open again`)
    }
    const { id, type, uncompressedLength } = blob
    return { id, type, sealed: again, uncompressedLength }
  }

  /** The same blob out of another pack. Rejects with `damaged` if no place has it whole. */
  async #elsewhere(blob: PackedBlob, not: Id): Promise<SealedBlob> {
    const { index, read } = this.#options
    for (const place of index.findAll(blob.type, blob.id)) {
      if (place.pack === not) continue
      const { offset, length } = place
      const bytes = await read(place.pack, { offset, length }).catch((error: unknown) => {
        if (isDamage(error)) return undefined
        throw error
      })
      const found = this.#reseal(place, bytes)
      if (found !== undefined) return found
    }
    throw damaged(`blob ${blob.id} cannot be read in any pack`)
  }

  async #add(pack: number, blob: SealedBlob): Promise<void> {
    this.#assertUsable()
    this.#cameFrom.set(blob.id, pack)
    const full = this.#spread[blob.type].add(blob)
    if (full !== undefined) await this.#send(full)
  }

  /** Finish a pack and start storing it; waits while too many are on their way. */
  async #send(open: OpenPack): Promise<void> {
    const { repository, random, onPack, clock } = this.#options
    const pack = open.finish(repository.masterKey, random, false)
    for (const { id } of pack.blobs) {
      this.#heirs.get(this.#cameFrom.get(id)!)?.add(pack.id)
      this.#cameFrom.delete(id)
    }
    while (this.#onTheWay.size >= uploads) await Promise.race(this.#onTheWay)
    this.#assertUsable()
    const sent = onPack(pack)
      .then(async () => {
        // If we die here the pack is stored and unlisted: harmless, and told to the control plane as such.
        if (this.#unlisted.length === 0) this.#oldestUnlisted = clock.now()
        this.#unlisted.push({ id: pack.id, blobs: pack.blobs })
        this.#unlistedBlobs += pack.blobs.length
        this.#buffers.give(pack.bytes)
        const old = clock.now() - this.#oldestUnlisted >= indexAge
        if (this.#unlistedBlobs >= fullIndex || old) await this.#storeIndexFile()
      })
      .catch((cause) => {
        this.#failure ??= { cause }
      })
    const tracked = sent.finally(() => this.#onTheWay.delete(tracked))
    this.#onTheWay.add(tracked)
  }

  /** List what was stored so far, so that a run which dies has not worked for nothing. */
  async #storeIndexFile(): Promise<void> {
    const { repository, random, onIndex } = this.#options
    const packs = this.#unlisted
    this.#unlisted = []
    this.#unlistedBlobs = 0
    const { id, bytes } = sealUnpacked(repository.masterKey, encodeIndex(packs), random)
    await onIndex({ id, bytes, packs: packs.map((pack) => pack.id) })
  }

  #assertUsable(): void {
    if (this.#failure === undefined) return
    const { cause } = this.#failure
    throw new RepositoryError('writer-broken', 'an earlier write of this run failed', { cause })
  }
}

/** Whether an error says that the object is not what it should be, as opposed to: the store does not answer. */
function isDamage(error: unknown): boolean {
  if (error instanceof RepositoryError) {
    return error.code === 'damaged' || error.code === 'too-large'
  }
  return error instanceof StorageError && (error.code === 'absent' || error.code === 'truncated')
}

function assertContent({ id, uncompressedLength }: PackedBlob, packed: Buffer): void {
  if (uncompressedLength === 0) {
    if (idOf(packed) !== id) throw damaged(`blob ${id} has other content than its id says`)
    return
  }
  const plain = decompress(packed, uncompressedLength)
  const right = plain.length === uncompressedLength && idOf(plain) === id
  release(plain)
  if (!right) throw damaged(`blob ${id} has other content than its id says`)
}

/** Blobs in order of offset, gathered into what one request fetches. */
function spansOf(blobs: readonly PackedBlob[]): PackedBlob[][] {
  const spans: PackedBlob[][] = []
  for (const blob of blobs) {
    const span = spans.at(-1)
    const last = span?.at(-1)
    const joins =
      span !== undefined &&
      last !== undefined &&
      blob.offset - (last.offset + last.length) <= gapLimit &&
      blob.offset + blob.length - span[0]!.offset <= spanLimit
    if (joins) span.push(blob)
    else spans.push([blob])
  }
  return spans
}
