// Bringing the index in memory into line with the index files that exist now.
import { RepositoryError } from './errors.ts'
import type { Id } from './id.ts'
import type { BlobIndex } from './index.ts'
import { decodeIndex } from './index-file.ts'
import { scanIndex } from './index-scan.ts'
import { readAhead } from './read-ahead.ts'
import { release } from './release.ts'
import type { Repository } from './repository.ts'
import { openUnpacked } from './unpacked.ts'

/** Index files are at most about 8 MB each, so a few on their way do no harm to memory. */
const readsAhead = 4

/**
 * Make `index` know exactly what the `live` index files list: files that are gone are dropped, new ones read
 * through `read` (from the cache or the store). Rejects with `damaged` if one cannot be opened, and with what
 * `read` rejects with. `signal` stops between files with its reason.
 */
export async function loadIndex(options: {
  repository: Repository
  index: BlobIndex
  /** The listing of `index/` as the store gives it now. */
  live: Iterable<Id>
  read: (id: Id) => Promise<Uint8Array>
  /** Told of each index file that cannot be opened; the others are loaded. Without it the first one rejects. */
  onDamaged?: ((file: Id) => void) | undefined
  signal?: AbortSignal
}): Promise<{ added: Id[]; dropped: Id[] }> {
  const { repository, index, read, onDamaged, signal } = options
  const live = new Set(options.live)
  const dropped = [...index.files].filter((file) => !live.has(file))
  for (const file of dropped) index.removeFile(file)
  const added: Id[] = []
  const missing = [...live].filter((file) => !index.hasFile(file))
  for await (const { item: file, result } of readAhead(missing, read, readsAhead)) {
    signal?.throwIfAborted()
    try {
      addIndexFile(index, file, openUnpacked(repository.masterKey, file, await result))
      added.push(file)
    } catch (error) {
      if (onDamaged === undefined || !(error instanceof RepositoryError)) throw error
      onDamaged(file)
    }
  }
  return { added, dropped }
}

/**
 * Make known what the text of an index file lists. `json` is used up. Rejects with `damaged` or `too-large`, and
 * then nothing of it is known.
 */
export function addIndexFile(index: BlobIndex, file: Id, json: Buffer): void {
  const scanned = scanIndex(json)
  if (scanned === undefined) index.addFile(file, decodeIndex(json))
  else {
    index.addScanned(file, scanned)
    // Some 5 MB a file: left to the garbage collector they would pile up beside the index.
    for (const rows of Object.values(scanned)) release(rows)
  }
  release(json)
}
