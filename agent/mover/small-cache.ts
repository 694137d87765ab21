// Small sealed objects kept on the host: config, key files, snapshots. Immutable, added by rename, never trusted:
// whoever reads one opens it, and what does not open is asked for again.
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { toHex } from '../../shared/bytes.ts'
import type { Random } from '../../shared/clock.ts'
import { idOf, isId } from '../repository/id.ts'

export type SmallKind = 'keys' | 'snapshots'

export interface SmallCache {
  /** A named object, checked against its name; undefined if it is absent or damaged. */
  read(kind: SmallKind, id: string): Promise<Buffer | undefined>
  add(kind: SmallKind, id: string, bytes: Uint8Array): Promise<void>
  /** A file of its own (`config`, `init.json`, `adopt.json`), unchecked; undefined if it is absent. */
  readFile(name: SmallFile): Promise<Buffer | undefined>
  /** Replaces what was there. */
  writeFile(name: SmallFile, bytes: Uint8Array): Promise<void>
}

/** `opened`: the id of the key file that opened the repository last time. */
export type SmallFile = 'config' | 'opened' | 'init.json' | 'adopt.json'

export function createSmallCache(directory: string, random: Random): SmallCache {
  async function absentOr<T>(work: Promise<T>): Promise<T | undefined> {
    try {
      return await work
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
      throw error
    }
  }

  async function put(folder: string, name: string, bytes: Uint8Array): Promise<void> {
    await mkdir(folder, { recursive: true, mode: 0o700 })
    const temporary = join(folder, `${name}.${toHex(random.bytes(8))}`)
    try {
      // Not synced: what a power cut tears does not open, and is asked for again.
      await writeFile(temporary, bytes, { mode: 0o600, flag: 'wx' })
      await rename(temporary, join(folder, name))
    } catch (error) {
      await rm(temporary, { force: true })
      throw error
    }
  }

  return {
    async read(kind, id) {
      if (!isId(id)) return undefined
      const bytes = await absentOr(readFile(join(directory, kind, id)))
      return bytes !== undefined && idOf(bytes) === id ? bytes : undefined
    },
    add: (kind, id, bytes) => put(join(directory, kind), id, bytes),
    readFile: (name) => absentOr(readFile(join(directory, name))),
    writeFile: (name, bytes) => put(directory, name, bytes),
  }
}
