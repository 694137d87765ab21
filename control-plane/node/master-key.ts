// The key under which secrets rest, when the environment does not give one: a file beside the database.
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { open, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { HoldfastError } from '../../shared/errors.ts'
import { parseMasterKeys } from './config.ts'

const KEY_BYTES = 32

/**
 * `<data>/master.key`, made with mode 0600 on the first start only: where a database is and its key is not,
 * a new key would open nothing.
 */
export async function masterKeyFile(data: string, database: string): Promise<Uint8Array[]> {
  const path = join(data, 'master.key')
  const stored = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new HoldfastError('invalid', `${path}: cannot be read (${error.code})`)
  })
  if (stored !== undefined) return parseMasterKeys(stored, path)
  if (await exists(database)) {
    throw new HoldfastError('invalid', `${path}: is missing, but ${database} is there`, {
      hint: 'put the key back, or give it in HOLDFAST_MASTER_KEY_FILE; without it stored credentials cannot be opened',
    })
  }
  const key = randomBytes(KEY_BYTES)
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
  try {
    await file.writeFile(`${key.toString('base64')}\n`)
    // Durable before anything is sealed under it.
    await file.sync()
  } finally {
    await file.close()
  }
  return [new Uint8Array(key)]
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  )
}
