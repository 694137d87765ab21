// Which blobs live snapshots need: one word per known blob, four bytes each.
import { StorageError } from '../storage/object-store.ts'
import type { BlobType } from './blob.ts'
import { damaged, RepositoryError } from './errors.ts'
import type { Id } from './id.ts'
import type { BlobIndex } from './index.ts'
import type { RepositoryReader } from './reader.ts'

/** Trees fetched at a time: enough to hide a store's latency, few enough for little memory. */
const fetches = 8
/** Missing blobs that are remembered by name; a search that finds these finds others beside them. */
const rememberedMissing = 100_000

const unneeded = 0
const needed = 1
const firstPack = 2

/** A blob that a snapshot needs and no index file lists. */
export interface MissingBlob {
  readonly type: BlobType
  readonly id: Id
}

/**
 * For each known blob, by the index's numbers: needed or not, and, once that is settled, which pack keeps it. The
 * index must not change meanwhile.
 */
export class BlobMarks {
  readonly #index: BlobIndex
  readonly #words: Uint32Array

  constructor(index: BlobIndex) {
    this.#index = index
    this.#words = new Uint32Array(index.size)
  }

  /** The number under which the other methods know a blob; −1 if the index does not know it. */
  numberOf(type: BlobType, id: Id): number {
    return this.#index.numberOf(type, id)
  }

  /** Returns whether it was marked for the first time. */
  need(blob: number): boolean {
    if (this.#words[blob] !== unneeded) return false
    this.#words[blob] = needed
    return true
  }

  isNeeded(blob: number): boolean {
    return this.#words[blob] !== unneeded
  }

  /** The number of the pack that keeps a needed blob, or undefined if none was named yet. */
  keeperOf(blob: number): number | undefined {
    const word = this.#words[blob]!
    return word < firstPack ? undefined : word - firstPack
  }

  keep(blob: number, pack: number): void {
    this.#words[blob] = pack + firstPack
  }

  /** Numbers of needed blobs that no pack keeps. */
  *orphans(): Generator<number> {
    for (let blob = 0; blob < this.#words.length; blob++)
      if (this.#words[blob] === needed) yield blob
  }
}

export interface MarkedBlobs {
  readonly marks: BlobMarks
  /** Trees walked. */
  readonly trees: number
  /** Blobs no index file lists; some of them where there are very many. */
  readonly missing: readonly MissingBlob[]
}

/**
 * Mark everything below `roots`, each tree once. A tree that cannot be read rejects with `damaged`: what it needs
 * is not known then, so nothing may be taken away. A store that does not answer rejects with its own error.
 */
export async function markNeeded(options: {
  index: BlobIndex
  reader: Pick<RepositoryReader, 'loadTree'>
  roots: Iterable<Id>
  signal?: AbortSignal
  /** Hears the count of trees as it grows. */
  onTree?: (done: number) => void
}): Promise<MarkedBlobs> {
  const { index, reader, roots, signal, onTree } = options
  const marks = new BlobMarks(index)
  const missing = new Map<string, MissingBlob>()
  const waiting: Id[] = []
  let trees = 0

  function need(type: BlobType, id: Id): boolean {
    const number = marks.numberOf(type, id)
    if (number >= 0) return marks.need(number)
    if (missing.size < rememberedMissing) missing.set(`${type} ${id}`, { type, id })
    return false
  }

  async function walk(id: Id): Promise<void> {
    for (const { content, subtree } of await loadTree(reader, id)) {
      for (const chunk of content ?? []) need('data', chunk)
      if (subtree !== undefined && need('tree', subtree)) waiting.push(subtree)
    }
  }

  for (const root of roots) if (need('tree', root)) waiting.push(root)
  const running = new Set<Promise<void>>()
  try {
    while (waiting.length > 0 || running.size > 0) {
      signal?.throwIfAborted()
      const id = running.size < fetches ? waiting.pop() : undefined
      if (id === undefined) {
        await Promise.race(running)
        continue
      }
      onTree?.(++trees)
      const work: Promise<void> = walk(id).finally(() => running.delete(work))
      // A failure reaches the loop through `race`; until then it must not count as unhandled.
      work.catch(() => {})
      running.add(work)
    }
  } finally {
    await Promise.allSettled(running)
  }
  return { marks, trees, missing: [...missing.values()] }
}

async function loadTree(reader: Pick<RepositoryReader, 'loadTree'>, id: Id) {
  try {
    return await reader.loadTree(id)
  } catch (error) {
    const gone =
      error instanceof StorageError && (error.code === 'absent' || error.code === 'truncated')
    if (!gone && !(error instanceof RepositoryError)) throw error
    throw damaged(`tree ${id} cannot be read, so nobody knows what it needs`, error)
  }
}
