// Writing into a repository: what is not known yet is sealed, packed, stored, and only then indexed.
import { type BlobType, sealBlob } from './blob.ts'
import { Chunker, chunkerTables } from './chunker.ts'
import { defaultCompressionLevel } from './compression.ts'
import { RepositoryError } from './errors.ts'
import { type Clock, type Id, idOf, type Random } from './id.ts'
import type { BlobIndex } from './index.ts'
import { encodeIndex, fullIndex, type IndexedPack, indexAge } from './index-file.ts'
import { type OpenPack, type Pack, PackSpread } from './pack.ts'
import type { Repository } from './repository.ts'
import { encodeTree, type TreeNode } from './tree.ts'
import { nextTurn } from './turn.ts'
import { sealUnpacked } from './unpacked.ts'

/** An index file ready to be stored under `index/<id>`. */
export interface IndexFile {
  readonly id: Id
  readonly bytes: Buffer
  /** The packs it lists; each was stored before. */
  readonly packs: readonly Id[]
}

export interface WriterOptions {
  readonly repository: Repository
  /** Known blobs; the writer adds its own as their packs are stored. */
  readonly index: BlobIndex
  readonly random: Random
  readonly clock: Clock
  /** Store a pack; resolves once it is durable. Called for up to `uploads` packs at a time. */
  readonly onPack: (pack: Pack) => Promise<void>
  /** Store an index file; resolves once it is durable. Called only after all of its packs are. */
  readonly onIndex: (file: IndexFile) => Promise<void>
  /** zstd level 1–22, 0 for none. Defaults to 2. */
  readonly compressionLevel?: number
  /** Packs on their way at a time; each holds about 16 MiB. Defaults to 3. */
  readonly uploads?: number
  /** Give each pack an MD5, for stores that check nothing better. Defaults to false. */
  readonly md5?: boolean
}

/** What saving something added to the repository. All zero where everything was known. */
export interface Added {
  readonly blobs: number
  /** Bytes before compression. */
  readonly bytes: number
  /** Bytes as sealed. */
  readonly packedBytes: number
}

export interface SavedFile {
  /** The chunks in order; empty for an empty file. */
  readonly content: Id[]
  /** Bytes read, which is what a node's size must be. */
  readonly size: bigint
  readonly added: Added
}

const nothing: Added = { blobs: 0, bytes: 0, packedBytes: 0 }
const usualUploads = 3
/** Bytes worked on before the event loop gets a turn: about 20 ms. */
const bytesPerTurn = 4 * 1024 * 1024

/**
 * A writer of one run. After any failure it is broken and says so: what was stored stays, unindexed and
 * harmless, and the run starts again with a new writer. Calls may overlap.
 */
export class RepositoryWriter {
  readonly #options: WriterOptions
  readonly #level: number
  readonly #uploads: number
  readonly #chunkerTables
  readonly #idleChunkers: Chunker[] = []
  readonly #spread: { readonly [type in BlobType]: PackSpread }
  /** Blobs of packs that are not stored yet: known to this writer, and to nobody else. */
  readonly #pending: { readonly [type in BlobType]: Set<Id> } = { data: new Set(), tree: new Set() }
  readonly #onTheWay = new Set<Promise<void>>()
  /** Stored packs that no index file lists yet. */
  #unlisted: IndexedPack[] = []
  #unlistedBlobs = 0
  #oldestUnlisted = 0
  #indexing: Promise<void> = Promise.resolve()
  #indexFiles: Id[] = []
  #packs: Id[] = []
  #sinceTurn = 0
  #failure: { readonly cause: unknown } | undefined

  constructor(options: WriterOptions) {
    this.#options = options
    this.#level = options.compressionLevel ?? defaultCompressionLevel
    this.#uploads = options.uploads ?? usualUploads
    this.#chunkerTables = chunkerTables(options.repository.polynomial)
    this.#spread = {
      data: new PackSpread('data', options.random),
      tree: new PackSpread('tree', options.random),
    }
  }

  /** Whether a blob needs no saving: it is in the repository, or on its way there through this writer. */
  knows(type: BlobType, id: Id): boolean {
    return this.#pending[type].has(id) || this.#options.index.has(type, id)
  }

  /** Save one blob; `plain` is lent until the promise settles. */
  async saveBlob(type: BlobType, plain: Uint8Array): Promise<{ id: Id; added: Added }> {
    this.#assertUsable()
    const id = idOf(plain)
    if (this.knows(type, id)) return { id, added: nothing }
    this.#pending[type].add(id)
    const { repository, random } = this.#options
    try {
      const key = repository.masterKey
      const blob = sealBlob({ key, type, id, plain, level: this.#level, random })
      // Counted now: a full pack takes the sealed bytes with it and frees them.
      const added = { blobs: 1, bytes: plain.length, packedBytes: blob.sealed.length }
      const full = this.#spread[type].add(blob)
      if (full !== undefined) await this.#send(full)
      return { id, added }
    } catch (cause) {
      throw this.#break(cause)
    }
  }

  /**
   * Save a file's bytes, cut into chunks. Each buffer is used up before the next is asked for, so a reader may
   * fill the same one again. What `chunks` throws passes through and leaves the writer usable.
   */
  async saveFile(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<SavedFile> {
    const content: Id[] = []
    let size = 0n
    let added = nothing
    const save = async (chunk: Buffer) => {
      const saved = await this.saveBlob('data', chunk)
      await this.#breathe(chunk.length)
      content.push(saved.id)
      size += BigInt(chunk.length)
      added = sum(added, saved.added)
    }
    const chunker = this.#idleChunkers.pop() ?? new Chunker(this.#chunkerTables)
    try {
      for await (const bytes of chunks) {
        for (let from = 0; from < bytes.length; ) {
          from += chunker.take(bytes, from)
          for (let chunk = chunker.next(); chunk !== undefined; chunk = chunker.next()) {
            await save(chunk)
            chunker.drop(chunk)
          }
        }
      }
      const last = chunker.rest()
      if (last !== undefined) await save(last)
    } finally {
      chunker.reset()
      this.#idleChunkers.push(chunker)
    }
    return { content, size, added }
  }

  /** Save a directory's listing; `nodes` in strict order of their raw names. */
  async saveTree(nodes: Iterable<TreeNode>): Promise<{ id: Id; added: Added }> {
    return this.saveBlob('tree', encodeTree(nodes))
  }

  /**
   * A pack that an earlier, killed run stored and never indexed: its blobs count as known, and the next index
   * file lists it. The caller has seen the pack in the store since it took its lock.
   */
  adoptPack(pack: IndexedPack): void {
    this.#assertUsable()
    this.#stored(pack)
  }

  /**
   * Store everything that was saved so far, index files last. When this resolves, all of it can be restored, and a
   * snapshot may refer to it. Returns what was stored since the last flush.
   */
  async flush(): Promise<{ packs: Id[]; indexFiles: Id[] }> {
    this.#assertUsable()
    try {
      for (const type of ['data', 'tree'] as const) {
        for (const pack of this.#spread[type].drain()) await this.#send(pack)
      }
      await Promise.all(this.#onTheWay)
      this.#assertUsable()
      this.#startIndexFile()
      await this.#indexing
      this.#assertUsable()
    } catch (cause) {
      throw this.#break(cause)
    }
    const stored = { packs: this.#packs, indexFiles: this.#indexFiles }
    this.#packs = []
    this.#indexFiles = []
    return stored
  }

  /** Cutting and hashing known content never waits by itself: give uploads and messages their turn. */
  async #breathe(bytes: number): Promise<void> {
    this.#sinceTurn += bytes
    if (this.#sinceTurn < bytesPerTurn) return
    this.#sinceTurn = 0
    await nextTurn()
  }

  /** Finish a pack and start storing it; waits while too many are on their way. */
  async #send(open: OpenPack): Promise<void> {
    const { repository, random, onPack, md5 = false } = this.#options
    const pack = open.finish(repository.masterKey, random, md5)
    while (this.#onTheWay.size >= this.#uploads) await Promise.race(this.#onTheWay)
    this.#assertUsable()
    const sent = onPack(pack)
      .then(() => {
        // If we die here the pack is stored and unlisted: harmless, and found again through the journal.
        this.#packs.push(pack.id)
        this.#stored(pack)
        for (const blob of pack.blobs) this.#pending[blob.type].delete(blob.id)
      })
      .catch((cause) => {
        this.#break(cause)
      })
    const tracked = sent.finally(() => this.#onTheWay.delete(tracked))
    this.#onTheWay.add(tracked)
  }

  #stored(pack: IndexedPack): void {
    const { index, clock } = this.#options
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
        this.#break(cause)
      })
  }

  async #storeIndexFile(packs: readonly IndexedPack[]): Promise<void> {
    if (this.#failure !== undefined) return
    const { repository, random, index, onIndex } = this.#options
    const ids = packs.map((pack) => pack.id)
    const { id, bytes } = sealUnpacked(repository.masterKey, encodeIndex(packs), random)
    await onIndex({ id, bytes, packs: ids })
    index.adopt(id, ids)
    this.#indexFiles.push(id)
  }

  #assertUsable(): void {
    if (this.#failure !== undefined) throw this.#broken()
  }

  /** Remember the first failure; every later call is told about it. */
  #break(cause: unknown): unknown {
    if (cause instanceof RepositoryError && cause.code === 'writer-broken') return cause
    this.#failure ??= { cause }
    return cause
  }

  #broken(): RepositoryError {
    const { cause } = this.#failure!
    return new RepositoryError('writer-broken', 'an earlier write of this run failed', { cause })
  }
}

export function createWriter(options: WriterOptions): RepositoryWriter {
  return new RepositoryWriter(options)
}

function sum(a: Added, b: Added): Added {
  if (b.blobs === 0) return a
  return {
    blobs: a.blobs + b.blobs,
    bytes: a.bytes + b.bytes,
    packedBytes: a.packedBytes + b.packedBytes,
  }
}
