// Trees of snapshots, from the packs kept on the host; a pack that is not there is fetched whole and kept.
import type { RepositoryCache } from '../repository/cache.ts'
import { RepositoryError } from '../repository/errors.ts'
import { type Id, idOf } from '../repository/id.ts'
import type { BlobIndex } from '../repository/index.ts'
import { idOfKey } from '../repository/layout.ts'
import { createReader, type RepositoryReader } from '../repository/reader.ts'
import type { Repository } from '../repository/repository.ts'
import type { TreeNode } from '../repository/tree.ts'
import { type ObjectStore, StorageError } from '../storage/object-store.ts'

export interface TreeReaderOptions {
  readonly repository: Repository
  readonly index: BlobIndex
  readonly cache: RepositoryCache
  readonly store: ObjectStore
  /** Keeps a pack; must not reject. */
  readonly keep: (id: Id, bytes: Uint8Array) => Promise<void>
}

/** A reader for trees only: every pack it has to fetch is a pack of trees, so it fetches and keeps the whole. */
export function createTreeReader(options: TreeReaderOptions): RepositoryReader {
  const { store, keep } = options
  const coming = new Map<string, Promise<Uint8Array>>()

  async function fetchPack(key: string): Promise<Uint8Array> {
    const id = idOfKey(key)
    const bytes = await store.get(key)
    // What is not what its name says stays out of the cache; the reader judges the blob it wants.
    if (id !== undefined && idOf(bytes) === id) await keep(id, bytes)
    return bytes
  }

  const whole: ObjectStore = {
    ...store,
    async get(key, range) {
      let pack = coming.get(key)
      if (pack === undefined) {
        pack = fetchPack(key).finally(() => coming.delete(key))
        coming.set(key, pack)
      }
      const bytes = await pack
      if (range === undefined) return bytes
      if (range.offset + range.length > bytes.length) throw new StorageError('truncated', key)
      return bytes.subarray(range.offset, range.offset + range.length)
    },
  }
  return createReader({ ...options, store: whole })
}

/** Whether a tree cannot be had, as opposed to a store that does not answer. */
function isMissing(error: unknown): boolean {
  if (error instanceof RepositoryError) return true
  return error instanceof StorageError && (error.code === 'absent' || error.code === 'denied')
}

/** As `loadTree`, with undefined for a tree that is damaged, gone or refused: the parent is then no help. */
export async function treeOrUndefined(
  reader: RepositoryReader,
  id: Id,
): Promise<readonly TreeNode[] | undefined> {
  try {
    return await reader.loadTree(id)
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
}

/**
 * The packs that hold everything `tree` refers to, as the index knows them now; undefined if something in it is not
 * known any more, so that a snapshot of it could not be restored.
 */
export async function packsOfTree(
  tree: Id,
  reader: RepositoryReader,
  index: BlobIndex,
  signal: AbortSignal,
): Promise<Set<Id> | undefined> {
  const packs = new Set<Id>()
  const seen = new Set<Id>()
  const waiting = [tree]
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (seen.has(id)) continue
    seen.add(id)
    signal.throwIfAborted()
    const place = index.find('tree', id)
    if (place === undefined) return undefined
    packs.add(place.pack)
    const nodes = await treeOrUndefined(reader, id)
    if (nodes === undefined) return undefined
    for (const { content, subtree } of nodes) {
      for (const chunk of content ?? []) {
        const found = index.find('data', chunk)
        if (found === undefined) return undefined
        packs.add(found.pack)
      }
      if (subtree !== undefined) waiting.push(subtree)
    }
  }
  return packs
}
