// What a host keeps of its repository so that a backup reads almost nothing back: index files and tree packs,
// sealed as in the store. Files are immutable and added by rename; this room never deletes one.
import { closeSync, openSync, readSync } from 'node:fs'
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { RepositoryError } from './errors.ts'
import { type Id, idOf, isId, type Random } from './id.ts'

/** `index`: index files. `packs`: packs of tree blobs. */
export type CachedKind = 'index' | 'packs'

export interface RepositoryCache {
  /** Keep an object. Adding what is there already changes nothing. Rejects with `damaged` if `bytes` are not `id`'s. */
  add(kind: CachedKind, id: Id, bytes: Uint8Array): Promise<void>
  has(kind: CachedKind, id: Id): Promise<boolean>
  /** The whole object, checked against its id; undefined if it is absent or damaged. */
  read(kind: CachedKind, id: Id): Promise<Buffer | undefined>
  /** Part of a pack, unchecked: the caller opens the sealed blob. Undefined if it is absent or too short. */
  readRange(pack: Id, offset: number, length: number): Promise<Buffer | undefined>
  /** As `readRange` at once, and fewer bytes where the pack ends: for many small reads one after the other. */
  readNow(pack: Id, offset: number, most: number): Buffer | undefined
  /** Every id that is there by name. */
  knownIds(kind: CachedKind): Promise<Set<Id>>
}

/** Open the cache in `directory`, which is made if it is missing (owner only). */
export async function openCache(directory: string, random: Random): Promise<RepositoryCache> {
  for (const kind of ['index', 'packs']) {
    await mkdir(join(directory, kind), { recursive: true, mode: 0o700 })
  }
  const pathOf = (kind: CachedKind, id: Id) => {
    if (!isId(id)) throw new RepositoryError('invalid-input', 'a cached object needs an id')
    return join(directory, kind, id)
  }

  return {
    async add(kind, id, bytes) {
      const path = pathOf(kind, id)
      if (idOf(bytes) !== id) {
        throw new RepositoryError('damaged', `object ${id} has other content than its name says`)
      }
      const temporary = `${path}.${random(8).toString('hex')}`
      try {
        // No fsync: a file torn by a power cut fails its check when read, and is fetched again.
        await writeFile(temporary, bytes, { mode: 0o600, flag: 'wx' })
        await rename(temporary, path)
      } catch (error) {
        await rm(temporary, { force: true })
        throw error
      }
    },

    async has(kind, id) {
      return (await absentAsUndefined(stat(pathOf(kind, id)))) !== undefined
    },

    async read(kind, id) {
      const bytes = await absentAsUndefined(readFile(pathOf(kind, id)))
      return bytes !== undefined && idOf(bytes) === id ? bytes : undefined
    },

    async readRange(pack, offset, length) {
      const file = await absentAsUndefined(open(pathOf('packs', pack)))
      if (file === undefined) return undefined
      try {
        const bytes = Buffer.allocUnsafeSlow(length)
        const { bytesRead } = await file.read(bytes, 0, length, offset)
        return bytesRead === length ? bytes : undefined
      } finally {
        await file.close()
      }
    },

    readNow(pack, offset, most) {
      let file: number
      try {
        file = openSync(pathOf('packs', pack), 'r')
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
        throw error
      }
      try {
        const bytes = Buffer.allocUnsafeSlow(most)
        return bytes.subarray(0, readSync(file, bytes, 0, most, offset))
      } finally {
        closeSync(file)
      }
    },

    async knownIds(kind) {
      return new Set((await readdir(join(directory, kind))).filter(isId))
    },
  }
}

async function absentAsUndefined<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
