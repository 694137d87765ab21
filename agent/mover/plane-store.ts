// The repository as a job of the mover sees it: packs and index files by grant, small objects and listings through
// the control plane. Reading only; what is written goes its own ways (packs, commit, lock).
import { fromBase64 } from '../../shared/bytes.ts'
import { idOfKey } from '../repository/layout.ts'
import { type ObjectStore, StorageError } from '../storage/object-store.ts'
import type { Batch } from './batch.ts'
import { asStored, type Listed, listAll } from './listing.ts'
import type { AttemptOf } from './plane.ts'
import { Refusal } from './refusal.ts'

const listedBy: Readonly<Record<string, Listed>> = {
  'data/': 'packs',
  'index/': 'index',
  'keys/': 'keys',
  'snapshots/': 'snapshots',
}

/** Rejects with `denied` for what no job may do. */
export function createPlaneStore(
  batch: Batch,
  attempt: AttemptOf,
  signal: AbortSignal,
): ObjectStore {
  const { plane, store } = batch
  const denied = (what: string) => new StorageError('denied', `a mover does not ${what}`)

  async function small(key: string): Promise<Buffer> {
    const folder = key.slice(0, key.indexOf('/') + 1)
    const what = key === 'config' ? 'config' : folder === 'keys/' ? 'key' : 'snapshot'
    const id = key === 'config' ? undefined : idOfKey(key)
    if (what === 'snapshot' && folder !== 'snapshots/') throw denied(`read ${folder}`)
    const body = { ...attempt, what, ...(id === undefined ? {} : { id }) } as const
    try {
      return Buffer.from(fromBase64((await plane.ask('read', body, { signal })).bytes))
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      const absent = error.code === 'not-found'
      const code = absent ? 'absent' : error.retryable ? 'unreachable' : 'denied'
      throw new StorageError(code, key, absent ? {} : { cause: error })
    }
  }

  return {
    put: (key) => Promise.reject(denied(`put ${key}`)),
    remove: (key) => Promise.reject(denied(`remove ${key}`)),
    get(key, range) {
      if (key.startsWith('data/') || key.startsWith('index/')) return store.get(key, range, signal)
      return small(key)
    },
    async head(key) {
      const prefix = key.slice(0, key.indexOf('/') + 1)
      for await (const object of this.list(prefix)) if (object.key === key) return object.bytes
      return undefined
    },
    async *list(prefix) {
      const what = listedBy[prefix]
      if (what === undefined) throw denied(`list ${prefix}`)
      const { objects } = await listAll(plane, attempt, what, signal)
      for (const object of objects) yield asStored(what, object)
    },
  }
}
