// The index in memory brought into line with the bucket: the cache is believed only after asking.
import type { RepositoryCache } from '../repository/cache.ts'
import { RepositoryError } from '../repository/errors.ts'
import type { Id } from '../repository/id.ts'
import type { BlobIndex } from '../repository/index.ts'
import { objectKey } from '../repository/layout.ts'
import { loadIndex } from '../repository/load-index.ts'
import type { Repository } from '../repository/repository.ts'
import { StorageError } from '../storage/object-store.ts'
import type { Batch } from './batch.ts'
import { listAll } from './listing.ts'
import type { AttemptOf } from './plane.ts'

export interface SyncedIndex {
  /** The repository's epoch when the listing began: a commit states it. */
  readonly epoch: number
  /** Index files that had to be fetched from the store. */
  readonly fetched: number
  /** Index files that were known and are gone. */
  readonly dropped: number
}

/** Index files fetched at a time; each is below 8 MB. */
const fetchesAtOnce = 8
/** An index file may be merged away between the listing and its fetch; three times in a row is no accident. */
const listings = 3

/**
 * Make `index` know exactly what the index files in the bucket list. Those that the cache lacks are fetched
 * by grant and kept; those that are gone are forgotten, whatever the cache says.
 */
export async function syncIndex(options: {
  batch: Batch
  attempt: AttemptOf
  repository: Repository
  index: BlobIndex
  cache: RepositoryCache
  signal: AbortSignal
  /** Do without index files that are damaged: what reads may, what writes must not. */
  despiteDamage?: boolean
}): Promise<SyncedIndex> {
  const { batch, attempt, repository, index, cache, signal, despiteDamage = false } = options
  const onDamaged = despiteDamage ? tellDamaged : undefined
  for (let round = 1; ; round++) {
    const { objects, epoch } = await listAll(batch.plane, attempt, 'index', signal)
    const live = objects.map(({ id }) => id)
    try {
      const fetched = await fetchMissing(live.filter((id) => !index.hasFile(id)))
      const { dropped } = await loadIndex({ repository, index, live, read, onDamaged, signal })
      const { size: blobs, bytes } = index
      batch.log('info', 'The index is in memory', { files: live.length, blobs, bytes })
      return { epoch, fetched, dropped: dropped.length }
    } catch (error) {
      const vanished = error instanceof StorageError && error.code === 'absent'
      if (!vanished || round === listings) throw error
    }
  }

  function tellDamaged(file: Id): void {
    const fields = { file: file.slice(0, 8) }
    batch.log('warn', 'An index file is damaged; what it alone lists cannot be read', fields)
  }

  async function read(id: Id): Promise<Uint8Array> {
    return (await cache.read('index', id)) ?? fetch(id)
  }

  async function fetch(id: Id): Promise<Uint8Array> {
    const bytes = await batch.store.get(objectKey('index', id), undefined, signal)
    await cache.add('index', id, bytes)
    return bytes
  }

  /** A damaged one is not kept; it is told when the index is loaded. */
  function leaveDamaged(error: unknown): void {
    if (!despiteDamage || !(error instanceof RepositoryError)) throw error
  }

  async function fetchMissing(wanted: readonly Id[]): Promise<number> {
    const known = await cache.knownIds('index')
    const missing = wanted.filter((id) => !known.has(id))
    let next = 0
    await Promise.all(
      Array.from({ length: fetchesAtOnce }, async () => {
        while (next < missing.length) {
          signal.throwIfAborted()
          await fetch(missing[next++]!).catch(leaveDamaged)
        }
      }),
    )
    return missing.length
  }
}
