// A repository as a directory on disk, laid out so that `restic -r <directory>` works on it.
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, link, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type ObjectStore, StorageError, type StoredObject } from './object-store.ts'

export interface DirectoryOptions {
  readonly directory: string
  /** Fresh names for files that are not whole yet: 16 hex characters each. */
  readonly temporaryName: () => string
  /** Mode of stored files. Defaults to 0400: nothing is ever written twice. */
  readonly fileMode?: number
  /** Mode of directories. Defaults to 0700. */
  readonly directoryMode?: number
  /**
   * The caller hashed the bytes in this process a moment ago, to name them: they are not hashed again, as they are
   * not before an upload. Defaults to false.
   */
  readonly trusted?: boolean
}

const folders = ['keys', 'snapshots', 'index', 'locks', 'data']
const keyShape =
  /^(?:config|(?:keys|snapshots|index|locks)\/[0-9a-f]{64}|data\/([0-9a-f]{2})\/\1[0-9a-f]{62})$/
const prefixShape = /^(?:|(?:keys|snapshots|index|locks|data)\/|data\/[0-9a-f]{2}\/)$/

/** Make the folders that stock restic expects, `data/00` to `data/ff` included. What is there stays as it is. */
export async function createDirectories(options: DirectoryOptions): Promise<void> {
  const { directory, directoryMode: mode = 0o700 } = options
  for (const folder of folders) await mkdir(join(directory, folder), { recursive: true, mode })
  for (let i = 0; i < 256; i++) {
    const folder = join(directory, 'data', i.toString(16).padStart(2, '0'))
    await mkdir(folder, { recursive: true, mode })
  }
  for (const folder of ['data', '.']) await syncDirectory(join(directory, folder))
}

/**
 * The store over a directory that `createDirectories` made. A file becomes visible whole or not at all: it is
 * written beside its place, synced, linked under its name, and the folder synced.
 */
export function createDirectoryStore(options: DirectoryOptions): ObjectStore {
  const { directory, temporaryName, fileMode = 0o400, trusted = false } = options

  function pathOf(key: string): string {
    // Keys come from far away sometimes; none may lead out of the directory.
    if (!keyShape.test(key)) throw new StorageError('denied', 'not the key of a repository object')
    return join(directory, key)
  }

  return {
    put: (key, sha256, bytes) =>
      translated(key, async () => {
        const path = pathOf(key)
        if (!trusted && createHash('sha256').update(bytes).digest('hex') !== sha256) {
          throw new StorageError('corrupt', `${key}: the bytes are not the ones announced`)
        }
        const temporary = `${path}-tmp-${temporaryName()}`
        try {
          await writeSynced(temporary, bytes, fileMode)
          // If we die before this line there is a stray file that restic and we ignore by its name; after it,
          // the object exists.
          await putInPlace(temporary, path, key, bytes)
          await syncDirectory(dirname(path))
        } finally {
          await rm(temporary, { force: true })
        }
      }),

    get: (key, range) =>
      translated(key, async () => {
        const file = await open(pathOf(key), constants.O_RDONLY | constants.O_NOFOLLOW)
        try {
          const length = range?.length ?? (await file.stat()).size
          return await readExactly(file, range?.offset ?? 0, length, key)
        } finally {
          await file.close()
        }
      }),

    head: (key) => translated(key, () => sizeOf(pathOf(key))),

    async *list(prefix): AsyncGenerator<StoredObject> {
      if (!prefixShape.test(prefix)) throw new StorageError('denied', 'not a repository prefix')
      yield* await translated(prefix, () => listed(directory, prefix))
    },

    remove: (key) => translated(key, () => rm(pathOf(key), { force: true })),
  }
}

async function writeSynced(path: string, bytes: Uint8Array, mode: number): Promise<void> {
  const file = await open(path, 'wx', mode)
  try {
    // In one call: `writeFile` would come back to this thread every 512 KiB.
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await file.write(bytes, done)
      done += bytesWritten
    }
    await file.sync()
  } finally {
    await file.close()
  }
}

async function putInPlace(
  temporary: string,
  path: string,
  key: string,
  bytes: Uint8Array,
): Promise<void> {
  try {
    // Unlike rename, link never replaces what another process just put there.
    await link(temporary, path)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST') return assertEqual(path, key, bytes)
    // File systems without hard links (FAT, some network mounts): look, then rename.
    if (code !== 'EPERM' && code !== 'ENOTSUP' && code !== 'ENOSYS') throw error
    if ((await sizeOf(path)) !== undefined) return assertEqual(path, key, bytes)
    await rename(temporary, path)
  }
}

async function assertEqual(path: string, key: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW)
  try {
    const { size } = await file.stat()
    const same = size === bytes.length && (await readExactly(file, 0, size, key)).equals(bytes)
    if (!same) throw new StorageError('exists', `${key}: taken by other bytes`)
  } finally {
    await file.close()
  }
}

async function readExactly(
  file: FileHandle,
  offset: number,
  length: number,
  key: string,
): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(length)
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, offset + done)
    if (bytesRead === 0) throw new StorageError('truncated', key)
    done += bytesRead
  }
  return bytes
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const found = await lstat(path)
    return found.isFile() ? found.size : undefined
  } catch (error) {
    if (isAbsence(error)) return undefined
    throw error
  }
}

async function listed(directory: string, prefix: string): Promise<StoredObject[]> {
  const found: StoredObject[] = []
  const pending = prefix === '' ? ['config', ...folders.map((f) => `${f}/`)] : [prefix]
  for (const at of pending) {
    if (!at.endsWith('/')) {
      const bytes = await sizeOf(join(directory, at))
      if (bytes !== undefined) found.push({ key: at, bytes })
      continue
    }
    for (const name of await namesIn(join(directory, at))) {
      const key = `${at}${name}`
      if (at === 'data/' && /^[0-9a-f]{2}$/.test(name)) pending.push(`${key}/`)
      if (!keyShape.test(key)) continue
      const bytes = await sizeOf(join(directory, key))
      if (bytes !== undefined) found.push({ key, bytes })
    }
  }
  return found
}

async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path)
  } catch (error) {
    if (isAbsence(error)) return []
    throw error
  }
}

async function syncDirectory(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function isAbsence(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException
  return code === 'ENOENT' || code === 'ENOTDIR'
}

async function translated<T>(key: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof StorageError) throw cause
    if (isAbsence(cause)) throw new StorageError('absent', key, { cause })
    const code = (cause as NodeJS.ErrnoException).code
    const denied = code === 'EACCES' || code === 'EPERM' || code === 'EROFS'
    throw new StorageError(denied ? 'denied' : 'unreachable', `${key}: ${code ?? 'failed'}`, {
      cause,
    })
  }
}
