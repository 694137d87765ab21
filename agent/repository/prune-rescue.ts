// Blobs that snapshots need and no index file lists, looked for in packs that are stored and unlisted: their own
// headers say what they hold.
import { StorageError } from '../storage/object-store.ts'
import { open } from './cipher.ts'
import { RepositoryError } from './errors.ts'
import type { Id } from './id.ts'
import type { IndexedPack } from './index-file.ts'
import { decodeHeader, headerLimit, lengthField, packSize } from './pack-header.ts'
import type { MissingBlob } from './prune-marks.ts'
import { readAhead } from './read-ahead.ts'
import type { Repository } from './repository.ts'

/** The end of a pack that is fetched first, in bytes: the header of a usual pack is a few kilobytes. */
const tail = 64 * 1024
/** Headers on their way while one is looked at. */
const headersAhead = 8

export type ReadPart = (pack: Id, range: { offset: number; length: number }) => Promise<Uint8Array>

/**
 * Those of the `unlisted` packs that hold a missing blob, with all that they hold. A pack whose header cannot be
 * read is passed over.
 */
export async function findInUnlisted(options: {
  repository: Repository
  unlisted: readonly { readonly id: Id; readonly bytes: number }[]
  missing: readonly MissingBlob[]
  read: ReadPart
  signal?: AbortSignal
}): Promise<IndexedPack[]> {
  const { repository, unlisted, missing, read, signal } = options
  const wanted = new Set(missing.map(({ type, id }) => `${type} ${id}`))
  const found: IndexedPack[] = []
  const header = (pack: { id: Id; bytes: number }) => readRemoteHeader(repository, pack, read)
  for await (const { result } of readAhead(unlisted, header, headersAhead)) {
    signal?.throwIfAborted()
    const pack = await result
    if (pack === undefined) continue
    let helps = false
    for (const { type, id } of pack.blobs) helps = wanted.delete(`${type} ${id}`) || helps
    if (helps) found.push(pack)
    if (wanted.size === 0) break
  }
  return found
}

/** The blobs of a stored pack by its own header; undefined if that does not account for every byte. */
async function readRemoteHeader(
  repository: Repository,
  { id, bytes }: { id: Id; bytes: number },
  read: ReadPart,
): Promise<IndexedPack | undefined> {
  try {
    const first = Math.min(bytes, tail)
    let end = Buffer.from(await read(id, { offset: bytes - first, length: first }))
    if (end.length < lengthField) return undefined
    const length = end.readUInt32LE(end.length - lengthField)
    if (length > headerLimit || length + lengthField > bytes) return undefined
    if (length + lengthField > end.length) {
      const whole = length + lengthField
      end = Buffer.from(await read(id, { offset: bytes - whole, length: whole }))
    }
    const sealed = end.subarray(end.length - lengthField - length, end.length - lengthField)
    const blobs = decodeHeader(open(repository.masterKey, sealed))
    return packSize(blobs) === bytes ? { id, blobs } : undefined
  } catch (error) {
    if (error instanceof RepositoryError) return undefined
    const gone =
      error instanceof StorageError && (error.code === 'absent' || error.code === 'truncated')
    if (gone) return undefined
    throw error
  }
}
