// Packs on their way to the store, and the index files that list them afterwards.
import type { BlobType, PackedBlob } from './blob.ts'
import type { Clock, Id, Random } from './id.ts'
import type { BlobIndex } from './index.ts'
import { encodeIndex, fullIndex, type IndexedPack, indexAge } from './index-file.ts'
import { type OpenPack, type Pack, PackBuffers, PackSpread } from './pack.ts'
import type { Repository } from './repository.ts'
import type { SealPool } from './seal-pool.ts'
import { sealUnpacked } from './unpacked.ts'

/** An index file ready to be stored under `index/<id>`. */
export interface IndexFile {
  readonly id: Id
  readonly bytes: Buffer
  /** The packs it lists; each was stored before. */
  readonly packs: readonly Id[]
}

export interface PackSenderDeps {
  readonly repository: Repository
  readonly index: BlobIndex
  readonly random: Random
  readonly clock: Clock
  readonly onPack: (pack: Pack) => Promise<void>
  readonly onIndex: (file: IndexFile) => Promise<void>
  readonly md5?: boolean
  readonly pool: SealPool
  /** Nothing can be stored any more: told what happened on the way. */
  broken(cause: unknown): void
  /** Throws what there is to say once something was broken. */
  assertUsable(): void
}

/** A sealed blob in parts: the writer puts it where the pack wants it. */
export interface SealedParts extends Omit<PackedBlob, 'offset'> {
  write(room: Buffer): void
}

/** Fills packs, sends them, and lists what was stored. */
export class PackSender {
  readonly #deps: PackSenderDeps
  readonly #buffers = new PackBuffers()
  readonly #spread: { readonly [type in BlobType]: PackSpread }
  readonly #onTheWay = new Set<Promise<void>>()
  #uploads: number
  /** Blobs go into packs one after the other; while a full pack waits for its upload, all wait. */
  #packing: Promise<unknown> = Promise.resolve()
  /** Blobs of packs that are not stored yet: known to this writer, and to nobody else. */
  readonly pending: { readonly [type in BlobType]: Set<Id> } = { data: new Set(), tree: new Set() }
  /** Stored packs that no index file lists yet. */
  #unlisted: IndexedPack[] = []
  #unlistedBlobs = 0
  #oldestUnlisted = 0
  #indexing: Promise<void> = Promise.resolve()
  #indexFiles: Id[] = []
  #packs: Id[] = []

  /** `uploads`: packs on their way at a time. */
  constructor(deps: PackSenderDeps, uploads: number) {
    this.#deps = deps
    this.#uploads = uploads
    this.#spread = {
      data: new PackSpread('data', deps.random, this.#buffers),
      tree: new PackSpread('tree', deps.random, this.#buffers),
    }
  }

  /** Packs being filled, waiting and on their way. */
  get packs(): number {
    return this.#buffers.taken
  }

  setUploads(count: number): void {
    this.#uploads = count
  }

  /** Put blobs into packs, one after the other. Resolves once all of them were written; a full pack waits for its turn. */
  add(blobs: Iterable<SealedParts>): Promise<void> {
    const added = this.#packing.then(async () => {
      for (const blob of blobs) {
        this.#deps.assertUsable()
        const { room, full } = this.#spread[blob.type].place(blob)
        blob.write(room)
        if (full !== undefined) await this.#send(full)
      }
    })
    this.#packing = added.catch(() => {})
    return added
  }

  /** Store and list everything. Returns what was stored since the last time. */
  async flush(): Promise<{ packs: Id[]; indexFiles: Id[] }> {
    const { assertUsable } = this.#deps
    await this.#packing
    for (const type of ['data', 'tree'] as const) {
      for (const pack of this.#spread[type].drain()) await this.#send(pack)
    }
    await Promise.all(this.#onTheWay)
    assertUsable()
    this.#startIndexFile()
    await this.#indexing
    assertUsable()
    const stored = { packs: this.#packs, indexFiles: this.#indexFiles }
    this.#packs = []
    this.#indexFiles = []
    return stored
  }

  /** Finish a pack and start storing it; waits while too many are on their way. */
  async #send(open: OpenPack): Promise<void> {
    const { repository, random } = this.#deps
    const { type, bytes, blobs } = open.close(repository.masterKey, random)
    while (this.#onTheWay.size >= this.#uploads) await Promise.race(this.#onTheWay)
    this.#deps.assertUsable()
    const { length } = bytes
    const { md5: withMd5 = false } = this.#deps
    const memory = bytes.buffer as ArrayBuffer
    let named: Buffer | undefined
    const sent = this.#deps.pool
      .do<'name'>({ kind: 'name', memory, length, md5: withMd5 })
      .then(async ({ memory, id, md5 }) => {
        named = Buffer.from(memory, 0, length)
        this.#deps.assertUsable()
        await this.#deps.onPack({ id, type, bytes: named, md5, blobs })
        // If we die here the pack is stored and unlisted: harmless, and found again through the journal.
        this.#packs.push(id)
        this.stored({ id, blobs })
        for (const blob of blobs) this.pending[blob.type].delete(blob.id)
      })
      .catch((cause) => {
        this.#deps.broken(cause)
      })
      .finally(() => this.#buffers.give(named ?? bytes))
    const tracked = sent.finally(() => this.#onTheWay.delete(tracked))
    this.#onTheWay.add(tracked)
  }

  /** A pack is in the store: its blobs are known from now on, and the next index file lists it. */
  stored(pack: IndexedPack): void {
    const { index, clock } = this.#deps
    const listed = { id: pack.id, blobs: pack.blobs }
    index.addPack(listed)
    if (this.#unlisted.length === 0) this.#oldestUnlisted = clock.now()
    this.#unlisted.push(listed)
    this.#unlistedBlobs += pack.blobs.length
    const old = clock.now() - this.#oldestUnlisted >= indexAge
    if (this.#unlistedBlobs >= fullIndex || old) this.#startIndexFile()
  }

  /** Begin to store an index file of all packs that are stored and unlisted. One at a time. */
  #startIndexFile(): void {
    const packs = this.#unlisted
    if (packs.length === 0) return
    this.#unlisted = []
    this.#unlistedBlobs = 0
    this.#indexing = this.#indexing
      .then(() => this.#storeIndexFile(packs))
      .catch((cause) => {
        this.#deps.broken(cause)
      })
  }

  async #storeIndexFile(packs: readonly IndexedPack[]): Promise<void> {
    this.#deps.assertUsable()
    const { repository, random, index, onIndex } = this.#deps
    const ids = packs.map((pack) => pack.id)
    const { id, bytes } = sealUnpacked(repository.masterKey, encodeIndex(packs), random)
    await onIndex({ id, bytes, packs: ids })
    index.adopt(id, ids)
    this.#indexFiles.push(id)
  }
}
