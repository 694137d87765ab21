// A store in memory, strict about what a repository may do, and able to fail on purpose.
import { createHash } from 'node:crypto'
import {
  type ObjectStore,
  StorageError,
  type StorageErrorCode,
  type StoredObject,
} from './object-store.ts'

export type StoreOperation = 'put' | 'get' | 'head' | 'list' | 'remove'

/** How a call fails: before anything happened, or after it happened but before the caller learned so. */
export interface Fault {
  readonly happened: boolean
  readonly code: StorageErrorCode
}

/** Decides for each call whether it fails. Give it a seed, and a run repeats. */
export type FaultPlan = (operation: StoreOperation, key: string) => Fault | undefined

export interface MemoryStore extends ObjectStore {
  /** What is stored, for tests that look at or damage it. */
  readonly objects: Map<string, Buffer>
}

/** Fail each call with probability `rate`, in both forms, as the sequence `random` (0 to below 1) says. */
export function seededFaults(random: () => number, rate: number): FaultPlan {
  return () => {
    if (random() >= rate) return undefined
    return { happened: random() < 0.5, code: random() < 0.5 ? 'busy' : 'unreachable' }
  }
}

/**
 * Immutable objects by key. Removing anything outside `locks/` rejects with `denied`, as it would on a host,
 * unless `mayRemove` allows it.
 */
export function createMemoryStore(
  options: { faults?: FaultPlan; mayRemove?: (key: string) => boolean } = {},
): MemoryStore {
  const { faults, mayRemove = (key) => key.startsWith('locks/') } = options
  const objects = new Map<string, Buffer>()

  async function run<T>(operation: StoreOperation, key: string, work: () => T): Promise<T> {
    await undefined // as from afar: never settles in the caller's own turn
    const fault = faults?.(operation, key)
    if (fault !== undefined && !fault.happened) throw injected(fault, operation, key)
    const result = work()
    if (fault !== undefined) throw injected(fault, operation, key)
    return result
  }

  return {
    objects,

    put(key, sha256, bytes) {
      return run('put', key, () => {
        if (createHash('sha256').update(bytes).digest('hex') !== sha256) {
          throw new StorageError('corrupt', `${key}: the bytes are not the ones announced`)
        }
        const before = objects.get(key)
        if (before !== undefined && !before.equals(bytes)) {
          throw new StorageError('exists', `${key}: taken by other bytes`)
        }
        if (before === undefined) objects.set(key, Buffer.from(bytes))
      })
    },

    get(key, range) {
      return run('get', key, () => {
        const bytes = objects.get(key)
        if (bytes === undefined) throw new StorageError('absent', key)
        if (range === undefined) return Buffer.from(bytes)
        const part = bytes.subarray(range.offset, range.offset + range.length)
        if (part.length !== range.length) throw new StorageError('truncated', key)
        return Buffer.from(part)
      })
    },

    head(key) {
      return run('head', key, () => objects.get(key)?.length)
    },

    async *list(prefix): AsyncGenerator<StoredObject> {
      const found = await run('list', prefix, () =>
        [...objects].filter(([key]) => key.startsWith(prefix)),
      )
      for (const [key, bytes] of found) yield { key, bytes: bytes.length }
    },

    remove(key) {
      return run('remove', key, () => {
        if (!mayRemove(key)) throw new StorageError('denied', `${key}: a host removes locks only`)
        objects.delete(key)
      })
    },
  }
}

function injected(fault: Fault, operation: StoreOperation, key: string): StorageError {
  return new StorageError(fault.code, `${operation} ${key}: fault injected`)
}
