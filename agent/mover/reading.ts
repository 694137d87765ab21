// What restore and browse begin with: the repository opened, its index as the bucket has it, the snapshot.
import { openCache, type RepositoryCache } from '../repository/cache.ts'
import type { Id } from '../repository/id.ts'
import { BlobIndex } from '../repository/index.ts'
import { createReader, type RepositoryReader } from '../repository/reader.ts'
import type { Repository } from '../repository/repository.ts'
import type { Snapshot } from '../repository/snapshot.ts'
import type { Batch, Job } from './batch.ts'
import { openRepository } from './open-repository.ts'
import { createPlaneStore } from './plane-store.ts'
import { readSnapshot } from './read-snapshot.ts'
import { syncIndex } from './sync-index.ts'
import { createTreeReader } from './tree-packs.ts'

export interface Reading {
  readonly repository: Repository
  readonly index: BlobIndex
  readonly snapshot: Snapshot
  /** Trees come from the cache or by whole packs, file content by ranges. */
  readonly reader: RepositoryReader
}

export async function openForReading(
  batch: Batch,
  job: Job,
  options: {
    readonly snapshot: Id
    readonly signal: AbortSignal
    /** Where it is open already: a password takes a tenth of a second. */
    readonly repository?: Repository
  },
): Promise<Reading> {
  const { attempt } = job
  const { signal } = options
  batch.speak(attempt)
  const repository = options.repository ?? (await openRepository(batch, attempt, signal))
  const snapshot = await readSnapshot(batch, attempt, repository, options.snapshot, signal)
  const cache = await openCache(batch.start.paths.cache, batch.bytes)
  const index = new BlobIndex()
  // Whatever can be had is worth restoring: a file whose blobs are unknown fails by itself.
  await syncIndex({ batch, attempt, repository, index, cache, signal, despiteDamage: true })
  const store = createPlaneStore(batch, attempt, signal)
  const keep = createKeeper(batch, cache)
  const trees = createTreeReader({ repository, index, cache, store, keep })
  const content = createReader({ store, repository, index })
  return {
    repository,
    index,
    snapshot,
    reader: {
      loadTree: trees.loadTree,
      loadBlob: (type, id) => (type === 'tree' ? trees : content).loadBlob(type, id),
      loadFile: content.loadFile,
      readSpan: content.readSpan,
    },
  }
}

/** Keeps tree packs; a cache that cannot be written costs the next run time and this one nothing. */
function createKeeper(batch: Batch, cache: RepositoryCache) {
  return async (id: Id, bytes: Uint8Array): Promise<void> => {
    try {
      await cache.add('packs', id, bytes)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'unknown'
      batch.log('warn', 'An object could not be kept in the cache', { code })
    }
  }
}
