// One vault's folder: objects as files that appear whole and are never changed.
import { createHash, randomUUID } from 'node:crypto'
import { constants as fileConstants, readFileSync } from 'node:fs'
import {
  chmod,
  chown,
  type FileHandle,
  link,
  mkdir,
  open,
  readdir,
  rm,
  statfs,
  unlink,
} from 'node:fs/promises'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { HoldfastError } from '../../../shared/errors.ts'

/** Owner and group read; nobody writes: an object never changes. */
const FILE_MODE = 0o440
/** Group `holdfast` may list and read what lies below, and new entries inherit it. */
const FOLDER_MODE = 0o2770
const GROUP = 'holdfast'
/** Unfinished uploads, beside the repositories and on the same file system. */
const INCOMING = '.incoming'
/** Bytes per write: a socket's chunks are small, and each write is a trip through the thread pool. */
const WRITE_BYTES = 1_048_576

export interface Expected {
  readonly bytes: number
  readonly sha256: string
}

/** `other`: the body was not what was expected; nothing was kept. */
export type WriteResult = 'stored' | 'exists' | { readonly other: string }

export interface VaultFolder {
  readonly root: string
  pathOf(key: string): string
  /** Opens an object for reading, or undefined if absent. Symlinks are not followed. */
  openRead(key: string): Promise<FileHandle | undefined>
  /**
   * Keeps the body under its key, once. When this resolves with `stored`, bytes and name are on disk.
   * With `exists` the body was not compared with what is there.
   */
  writeOnce(
    key: string,
    body: AsyncIterable<Uint8Array>,
    expected: Expected | undefined,
  ): Promise<WriteResult>
  remove(key: string): Promise<void>
  /** Bytes that uploads may still use: free space less the reserve. */
  roomBytes(): Promise<number>
}

/**
 * Opens (and makes, if need be) `<data>/vaults/<vault>`. Leftovers of uploads that a crash cut short
 * are removed: none of them was ever acknowledged.
 *
 * `reserveBytes` of the disk are left alone, so that the control plane's database beside the vault can
 * still be written when uploads have filled the rest.
 */
export async function openVaultFolder(root: string, reserveBytes: number): Promise<VaultFolder> {
  const group = groupId(GROUP)
  /** Folders known to exist; forgotten when one turns out to be gone. */
  const known = new Set<string>()
  const incoming = join(root, INCOMING)

  async function makeFolder(path: string): Promise<void> {
    if (known.has(path)) return
    // A folder counts only when its own name is durable in its parent.
    const parent = dirname(path)
    try {
      await mkdir(path)
    } catch (error) {
      const code = codeOf(error)
      if (code === 'ENOENT' && path.startsWith(`${root}/`)) {
        known.delete(parent)
        await makeFolder(parent)
        return makeFolder(path)
      }
      if (code !== 'EEXIST') throw diskError(error)
      known.add(path)
      return
    }
    if (group !== undefined) {
      // Not ours to give (we are neither root nor in the group): then the owner alone reads.
      await chown(path, -1, group).catch(ignoring('EPERM'))
    }
    await chmod(path, FOLDER_MODE)
    await syncFolder(parent)
    known.add(path)
  }

  await mkdir(dirname(root), { recursive: true })
  await makeFolder(root)
  await makeFolder(incoming)
  for (const name of await readdir(incoming)) await rm(join(incoming, name), { force: true })

  const pathOf = (key: string) => join(root, ...key.split('/'))

  /** What restic expects to find in a local repository, made once `config` is there. */
  async function makeRepositoryFolders(repository: string): Promise<void> {
    for (const name of ['data', 'index', 'keys', 'locks', 'snapshots']) {
      await makeFolder(join(repository, name))
    }
    for (let i = 0; i < 256; i++) {
      await makeFolder(join(repository, 'data', i.toString(16).padStart(2, '0')))
    }
  }

  async function publish(temporary: string, path: string): Promise<'stored' | 'exists'> {
    await makeFolder(dirname(path))
    try {
      await link(temporary, path)
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return 'exists'
      if (codeOf(error) !== 'ENOENT') throw error
      // Somebody removed the empty folder behind our back: make it again.
      known.clear()
      await makeFolder(dirname(path))
      await link(temporary, path)
    }
    // If we die here the object may or may not be there; nobody was told either way, and a second
    // attempt answers `exists`, after which sizes are compared.
    await syncFolder(dirname(path))
    return 'stored'
  }

  return {
    root,
    pathOf,

    async openRead(key) {
      try {
        return await open(pathOf(key), READ_FLAGS)
      } catch (error) {
        if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return undefined
        throw diskError(error)
      }
    },

    async writeOnce(key, body, expected) {
      const temporary = join(incoming, randomUUID())
      let file: FileHandle | undefined
      try {
        await makeFolder(incoming)
        file = await open(temporary, 'wx', 0o600)
        const hash = createHash('sha256')
        let bytes = 0
        let gathered: Uint8Array[] = []
        let gatheredBytes = 0
        for await (const chunk of body) {
          bytes += chunk.length
          if (expected !== undefined && bytes > expected.bytes) break
          hash.update(chunk)
          gathered.push(chunk)
          gatheredBytes += chunk.length
          if (gatheredBytes < WRITE_BYTES) continue
          await writeFully(file, Buffer.concat(gathered))
          gathered = []
          gatheredBytes = 0
        }
        await writeFully(file, Buffer.concat(gathered))
        if (expected !== undefined) {
          if (bytes !== expected.bytes) {
            return { other: `${bytes} bytes arrived where ${expected.bytes} were signed` }
          }
          if (hash.digest('hex') !== expected.sha256) {
            return { other: 'the bytes have another SHA-256 than was signed' }
          }
        }
        if (group !== undefined) await file.chown(-1, group).catch(ignoring('EPERM'))
        await file.chmod(FILE_MODE)
        // The bytes are durable before the name is.
        await file.sync()
        await file.close()
        file = undefined
        const result = await publish(temporary, pathOf(key))
        if (result === 'stored' && key.endsWith('/config')) {
          await makeRepositoryFolders(dirname(pathOf(key)))
        }
        return result
      } catch (error) {
        throw diskError(error)
      } finally {
        await file?.close()
        await unlink(temporary).catch(ignoring('ENOENT'))
      }
    },

    async remove(key) {
      const path = pathOf(key)
      try {
        await unlink(path)
        await syncFolder(dirname(path))
      } catch (error) {
        if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENOTDIR') throw diskError(error)
      }
    },

    async roomBytes() {
      const { bavail, bsize } = await statfs(root)
      return bavail * bsize - reserveBytes
    },
  }
}

/** Read-only, never through a symlink, never waiting on a fifo. */
const READ_FLAGS = fileConstants.O_RDONLY | fileConstants.O_NOFOLLOW | fileConstants.O_NONBLOCK

async function writeFully(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    const { bytesWritten } = await file.write(chunk, at)
    at += bytesWritten
  }
}

/** Makes the names in a folder durable. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function groupId(name: string): number | undefined {
  let table: string
  try {
    table = readFileSync('/etc/group', 'utf8')
  } catch {
    return undefined
  }
  const line = table.split('\n').find((text) => text.startsWith(`${name}:`))
  const id = Number(line?.split(':')[2])
  return Number.isSafeInteger(id) ? id : undefined
}

/** The system's error as one of ours; errors that are ours, or the client's hanging up, pass. */
function diskError(error: unknown): unknown {
  const code = codeOf(error)
  if (error instanceof HoldfastError || !(code in constants.errno)) return error
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new HoldfastError('store-unavailable', DISK_FULL, { hint: DISK_FULL_HINT, cause: error })
  }
  if (code === 'ECONNRESET' || code === 'EPIPE') return error
  return new HoldfastError('store-unavailable', `the disk vault could not be used: ${code}`, {
    cause: error,
  })
}

export const DISK_FULL = 'the disk of the control plane is full: the vault cannot take more'
export const DISK_FULL_HINT =
  'free space on the data directory, enlarge its disk, or add an S3 vault'

/** Was it the lack of space? */
export function isDiskFull(error: unknown): boolean {
  return error instanceof HoldfastError && error.message === DISK_FULL
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : ''
}

function ignoring(code: string): (error: unknown) => void {
  return (error) => {
    if (codeOf(error) !== code) throw error
  }
}
