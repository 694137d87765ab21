// Writing into a repository: what is not known yet is sealed, packed, stored, and only then indexed.
import { availableParallelism } from 'node:os'
import type { BlobType } from './blob.ts'
import { chunkerTables, minChunk } from './chunker.ts'
import { ivBytes, macBytes, sealOverhead } from './cipher.ts'
import { RepositoryError } from './errors.ts'
import { type Feed, type FileBytes, feedOf } from './file-bytes.ts'
import { giveBackLargeBuffers } from './give-back-memory.ts'
import type { Clock, Id, Random } from './id.ts'
import type { BlobIndex } from './index.ts'
import type { IndexedPack } from './index-file.ts'
import type { Level } from './level-choice.ts'
import { type Pack, PackBuffers } from './pack.ts'
import { type IndexFile, PackSender, type SealedParts } from './pack-sender.ts'
import { primitives } from './primitives.ts'
import type { Repository } from './repository.ts'
import { SealPool } from './seal-pool.ts'
import { type BatchedBlob, SmallBlobs, slabBytes } from './small-blobs.ts'
import type { StreamWindow } from './stream-window.ts'
import { encodeTree, type TreeNode } from './tree.ts'
import { nextTurn } from './turn.ts'
import { WindowPool } from './window-pool.ts'

export type { IndexFile }

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
  /** zstd level 1–22, 0 for none. Defaults to 2, or 1 for large chunks that it makes no larger. */
  readonly compressionLevel?: number
  /** Packs on their way at a time; each holds about 17 MiB. Defaults to 3. */
  readonly uploads?: number
  /** Threads that hash, compress and seal; 0 leaves it to this one. Defaults to the number of cores, 4 at most. */
  readonly workers?: number
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

/** What a writer holds at the moment. */
export interface WriterMemory {
  /** Bytes of buffers, whether filled or not. */
  readonly buffers: number
  /** Packs being filled, waiting and on their way. */
  readonly packs: number
}

const nothing: Added = { blobs: 0, bytes: 0, packedBytes: 0 }
const usualUploads = 3
/** More threads than this wait for the one that reads and cuts. */
const mostWorkers = 4
/** Bytes cut before the event loop gets a turn: about a millisecond. */
const bytesPerTurn = 1024 * 1024

/** What a blob becomes. */
interface SavedBlob {
  readonly id: Id
  readonly added: Added
}

/** A blob in shared memory, to be saved. */
interface BlobSpan {
  readonly type: BlobType
  readonly offset: number
  readonly length: number
}

/**
 * A writer of one run. After any failure it is broken and says so: what was stored stays, unindexed and
 * harmless, and the run starts again with a new writer. Calls may overlap.
 */
export class RepositoryWriter {
  readonly #options: WriterOptions
  readonly #level: Level
  readonly #pool: SealPool
  readonly #small: SmallBlobs<SavedBlob>
  readonly #windows: WindowPool
  readonly #sender: PackSender
  /** Calls that save something and did not return yet. */
  #saving = 0
  #sinceTurn = 0
  #failure: { readonly cause: unknown } | undefined

  constructor(options: WriterOptions) {
    const { repository } = options
    const { workers = Math.min(mostWorkers, availableParallelism()) } = options
    this.#options = options
    this.#level = options.compressionLevel ?? 'auto'
    this.#windows = new WindowPool(chunkerTables(repository.polynomial))
    this.#pool = new SealPool(repository.masterKey, workers)
    this.#small = new SmallBlobs({
      work: (memory, blobs) => this.#saveBatch(memory, blobs),
      isBusy: () => this.#pool.isBusy,
    })
    this.#pool.onIdle = () => this.#small.send()
    this.#sender = new PackSender(
      {
        ...options,
        pool: this.#pool,
        broken: (cause) => this.#break(cause),
        assertUsable: () => this.#assertUsable(),
      },
      options.uploads ?? usualUploads,
    )
  }

  /** Whether a blob needs no saving: it is in the repository, or on its way there through this writer. */
  knows(type: BlobType, id: Id): boolean {
    return this.#sender.pending[type].has(id) || this.#options.index.has(type, id)
  }

  /** From now on so many threads work; 0 leaves all to this one. */
  setWorkers(count: number): void {
    this.#pool.setThreads(count)
  }

  /** From now on so many packs are on their way at a time, 1 at least. */
  setUploads(count: number): void {
    this.#sender.setUploads(Math.max(1, count))
  }

  /** What the writer holds now. */
  get memory(): WriterMemory {
    const held = this.#small.held + this.#windows.held
    return {
      buffers: held + this.#sender.packs * PackBuffers.bytes,
      packs: this.#sender.packs,
    }
  }

  /** Save one blob; `plain` is lent until the promise settles. */
  async saveBlob(type: BlobType, plain: Uint8Array): Promise<SavedBlob> {
    this.#assertUsable()
    if (plain.length <= slabBytes) return this.#small.save(type, [plain], plain.length)
    // Rare: the listing of a large directory. Its memory goes with it.
    const memory = new SharedArrayBuffer(plain.length)
    Buffer.from(memory).set(plain)
    return (await this.#saveSpans(memory, [{ type, offset: 0, length: plain.length }]))[0]!
  }

  /**
   * Save a file's bytes, cut into chunks. Each buffer of an iterable is used up before the next is asked for, so a reader
   * may fill the same one again; a feed is asked to put its bytes where they will be worked on. What the source throws
   * passes through and leaves the writer usable. Small files given as an array are gathered: save many at a time.
   */
  async saveFile(source: FileBytes): Promise<SavedFile> {
    this.#assertUsable()
    if (Array.isArray(source)) {
      const parts: readonly Uint8Array[] = source
      const length = parts.reduce((sum, part) => sum + part.length, 0)
      if (length === 0) return { content: [], size: 0n, added: nothing }
      // No border can come before, so it is one chunk.
      if (length < minChunk) {
        const { id, added } = await this.#small.save('data', parts, length)
        return { content: [id], size: BigInt(length), added }
      }
    }
    return this.#windows.with(async (window) => {
      const copied = 'read' in source ? undefined : feedOf(source)
      try {
        return await this.#saveStream(copied ?? (source as Feed), window)
      } finally {
        await copied?.end()
      }
    })
  }

  /** Save a directory's listing; `nodes` in strict order of their raw names. */
  async saveTree(nodes: Iterable<TreeNode>): Promise<SavedBlob> {
    return this.saveBlob('tree', encodeTree(nodes))
  }

  /**
   * A pack that an earlier, killed run stored and never indexed: its blobs count as known, and the next index
   * file lists it. The caller has seen the pack in the store since it took its lock.
   */
  adoptPack(pack: IndexedPack): void {
    this.#assertUsable()
    this.#sender.stored(pack)
  }

  /**
   * Store everything that was saved so far, index files last. When this resolves, all of it can be restored, and a
   * snapshot may refer to it. Returns what was stored since the last flush.
   */
  async flush(): Promise<{ packs: Id[]; indexFiles: Id[] }> {
    this.#assertUsable()
    try {
      const stored = await this.#sender.flush()
      if (this.#saving === 0) await this.#pool.close()
      return stored
    } catch (cause) {
      throw this.#break(cause)
    }
  }

  /** End the threads. To be called whenever a writer is given up, whatever state it is in. */
  async close(): Promise<void> {
    this.#failure ??= { cause: new RepositoryError('cancelled', 'the writer was closed') }
    await this.#giveUp()
  }

  async #saveStream(feed: Feed, window: StreamWindow): Promise<SavedFile> {
    const saved: Promise<SavedBlob>[] = []
    let size = 0
    /** The first chunk that could not be saved, known before its turn comes. */
    let failed: { readonly cause: unknown } | undefined
    const saveNext = (last: boolean): boolean => {
      const chunk = window.next(last)
      if (chunk === undefined) return false
      const { offset, length } = chunk
      const one = this.#saveSpans(window.memory, [{ type: 'data', offset, length }])
        .then(([blob]) => blob!)
        .finally(() => chunk.leave())
      one.catch((cause) => {
        failed ??= { cause }
      })
      saved.push(one)
      return true
    }
    try {
      for (;;) {
        let room = window.room()
        while (room === undefined) {
          await window.untilRoom()
          if (failed !== undefined) throw failed.cause
          room = window.room()
        }
        const count = await feed.read(room)
        if (failed !== undefined) throw failed.cause
        if (count === 0) break
        window.fill(count)
        size += count
        while (saveNext(false)) await this.#breathe(0)
        await this.#breathe(count)
      }
      while (saveNext(true)) await this.#breathe(0)
      const blobs = await Promise.all(saved)
      const added = blobs.reduce((total, blob) => sum(total, blob.added), nothing)
      return { content: blobs.map((blob) => blob.id), size: BigInt(size), added }
    } finally {
      // Threads may still be at work on the window.
      await Promise.allSettled(saved)
    }
  }

  async #saveBatch(
    memory: SharedArrayBuffer,
    batch: readonly BatchedBlob<SavedBlob>[],
  ): Promise<void> {
    try {
      const saved = await this.#saveSpans(memory, batch)
      for (const [i, blob] of batch.entries()) blob.resolve(saved[i]!)
    } catch (cause) {
      for (const blob of batch) blob.reject(cause)
    }
  }

  /** Save blobs that lie in shared memory, where they are overwritten. */
  async #saveSpans(memory: SharedArrayBuffer, spans: readonly BlobSpan[]): Promise<SavedBlob[]> {
    this.#saving++
    try {
      this.#assertUsable()
      const { ids } = await this.#pool.do<'hash'>({ kind: 'hash', memory, spans: flat(spans) })
      this.#assertUsable()
      const unknown: number[] = []
      for (const [i, { type }] of spans.entries()) {
        if (this.knows(type, ids[i]!)) continue
        this.#sender.pending[type].add(ids[i]!)
        unknown.push(i)
      }
      const saved = ids.map((id): SavedBlob => ({ id, added: nothing }))
      if (unknown.length === 0) return saved
      const sealing = unknown.map((i) => spans[i]!)
      const ivs = this.#ivs(sealing.length)
      const { lengths, tags } = await this.#pool.do<'seal'>({
        kind: 'seal',
        memory,
        spans: flat(sealing),
        ids: unknown.map((i) => ids[i]!),
        // Trees are always compressed, as restic does.
        levels: sealing.map(({ type }) => (type === 'tree' ? this.#level || 1 : this.#level)),
        ivs,
      })
      const sealed = unknown.map((i, at): SealedParts => {
        const { type, offset, length: plainLength } = spans[i]!
        const ciphertext = new Uint8Array(memory, offset, lengths[2 * at]!)
        const length = ciphertext.length + sealOverhead
        saved[i] = { id: ids[i]!, added: { blobs: 1, bytes: plainLength, packedBytes: length } }
        return {
          ...{ id: ids[i]!, type, length, uncompressedLength: lengths[2 * at + 1]! },
          write(room) {
            room.set(ivs.subarray(at * ivBytes, (at + 1) * ivBytes))
            primitives.copy(ciphertext, room.subarray(ivBytes, length - macBytes))
            room.set(tags.subarray(at * macBytes, (at + 1) * macBytes), length - macBytes)
          },
        }
      })
      await this.#sender.add(sealed)
      return saved
    } catch (cause) {
      throw this.#break(cause)
    } finally {
      this.#saving--
    }
  }

  /** Fresh IVs. */
  #ivs(count: number): Buffer {
    for (;;) {
      const ivs = this.#options.random(count * ivBytes)
      // One in 2^128 is all zero; restic refuses such an IV when it opens, so it must never be written.
      const zero = (i: number) => ivs.subarray(i * ivBytes, (i + 1) * ivBytes).every((b) => b === 0)
      if (!Array.from({ length: count }, (_, i) => zero(i)).includes(true)) return ivs
    }
  }

  /** Reading and cutting never waits by itself: give uploads, answers and messages their turn. */
  async #breathe(bytes: number): Promise<void> {
    this.#sinceTurn += bytes
    if (this.#sinceTurn < bytesPerTurn) return
    this.#sinceTurn = 0
    await nextTurn()
  }

  #assertUsable(): void {
    if (this.#failure !== undefined) throw this.#broken()
  }

  /** Remember the first failure; every later call is told about it. */
  #break(cause: unknown): unknown {
    if (cause instanceof RepositoryError && cause.code === 'writer-broken') return cause
    this.#failure ??= { cause }
    this.#giveUp()
    return cause
  }

  /** What waits for a thread, or for more of its kind, learns that it waits in vain. */
  async #giveUp(): Promise<void> {
    const closed = this.#pool.close()
    this.#small.send()
    await closed
  }

  #broken(): RepositoryError {
    const { cause } = this.#failure!
    return new RepositoryError('writer-broken', 'an earlier write of this run failed', { cause })
  }
}

export function createWriter(options: WriterOptions): RepositoryWriter {
  giveBackLargeBuffers()
  return new RepositoryWriter(options)
}

function flat(spans: readonly BlobSpan[]): number[] {
  return spans.flatMap(({ offset, length }) => [offset, length])
}

function sum(a: Added, b: Added): Added {
  if (b.blobs === 0) return a
  return {
    blobs: a.blobs + b.blobs,
    bytes: a.bytes + b.bytes,
    packedBytes: a.packedBytes + b.packedBytes,
  }
}
