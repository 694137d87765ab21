// The bytes of the parent snapshot's trees, from the packs kept on this host as long as they are there.
import { openBlob } from '../repository/blob.ts'
import type { RepositoryCache } from '../repository/cache.ts'
import { RepositoryError } from '../repository/errors.ts'
import type { Id } from '../repository/id.ts'
import type { BlobIndex, BlobPlace } from '../repository/index.ts'
import type { RepositoryReader } from '../repository/reader.ts'
import type { Repository } from '../repository/repository.ts'
import { StorageError } from '../storage/object-store.ts'

export interface ParentTreesOptions {
  readonly repository: Repository
  readonly index: BlobIndex
  readonly cache: RepositoryCache
  /** Asked for what is not kept, or not whole. */
  readonly reader: RepositoryReader
}

/** Gives the bytes of a tree; undefined for one that is damaged, gone or refused: the parent is then no help. */
export type LoadTreeText = (id: Id) => Buffer | undefined | Promise<Buffer | undefined>

/** Bytes read at a time: a walk wants trees about in the order in which they lie in their packs. */
const WINDOW = 256 * 1024
/** Places in packs that are read on from: one for each of the levels between which a walk goes to and fro. */
const WINDOWS = 4

interface Window {
  readonly pack: Id
  readonly offset: number
  readonly bytes: Buffer
}

/** Trees of the packs in the cache come without a turn of the event loop: there may be as many as directories. */
export function createParentTrees(options: ParentTreesOptions): LoadTreeText {
  const { repository, index, cache, reader } = options
  /** The last used first. */
  const windows: Window[] = []

  function sealedAt({ pack, offset, length }: BlobPlace): Buffer | undefined {
    const holds = (window: Window) =>
      window.pack === pack &&
      window.offset <= offset &&
      offset + length <= window.offset + window.bytes.length
    let at = windows.findIndex(holds)
    if (at < 0) {
      const bytes = cache.readNow(pack, offset, Math.max(WINDOW, length))
      if (bytes === undefined || bytes.length < length) return undefined
      at = windows.push({ pack, offset, bytes }) - 1
    }
    const [window] = windows.splice(at, 1)
    windows.unshift(window!)
    windows.length = Math.min(windows.length, WINDOWS)
    const start = offset - window!.offset
    return window!.bytes.subarray(start, start + length)
  }

  function kept(id: Id): Buffer | undefined {
    const place = index.find('tree', id)
    const sealed = place && sealedAt(place)
    if (sealed === undefined) return undefined
    const { uncompressedLength } = place!
    try {
      return openBlob({ key: repository.masterKey, id, sealed, uncompressedLength })
    } catch (error) {
      // A damaged cache is as good as none.
      if (error instanceof RepositoryError) return undefined
      throw error
    }
  }

  async function fetched(id: Id): Promise<Buffer | undefined> {
    try {
      return await reader.loadBlob('tree', id)
    } catch (error) {
      if (error instanceof RepositoryError) return undefined
      if (error instanceof StorageError && ['absent', 'denied'].includes(error.code)) {
        return undefined
      }
      throw error
    }
  }

  return (id) => kept(id) ?? fetched(id)
}
