// Opening the repository with as few questions as possible: the kept config and key file first, the plane's else.
import { fromBase64 } from '../../shared/bytes.ts'
import { RepositoryError } from '../repository/errors.ts'
import type { Id } from '../repository/id.ts'
import { openRepositoryFrom, type Repository } from '../repository/repository.ts'
import type { Batch } from './batch.ts'
import { listAll } from './listing.ts'
import type { AttemptOf } from './plane.ts'

/**
 * The repository of the batch, opened with its password. Rejects with `wrong-password` or `no-repository`.
 * What was kept on the host is believed only if it opens.
 */
export async function openRepository(
  batch: Batch,
  attempt: AttemptOf,
  signal: AbortSignal,
): Promise<Repository> {
  const { plane, cache, start } = batch
  const kept = await fromCache(batch)
  if (kept !== undefined) return kept

  const read = async (what: 'config' | 'key', id?: Id): Promise<Buffer> => {
    const body = { ...attempt, what, ...(id === undefined ? {} : { id }) }
    return Buffer.from(fromBase64((await plane.ask('read', body, { signal })).bytes))
  }
  const config = await read('config')
  const { objects } = await listAll(plane, attempt, 'keys', signal)
  const keyFiles: { id: Id; bytes: Buffer }[] = []
  for (const { id } of objects) keyFiles.push({ id, bytes: await read('key', id) })
  const repository = await openRepositoryFrom({ config, keyFiles, password: start.password })
  const opener = keyFiles.find(({ id }) => id === repository.keyId)
  if (opener !== undefined) {
    await cache.add('keys', opener.id, opener.bytes)
    await cache.writeFile('config', config)
    await cache.writeFile('opened', Buffer.from(opener.id))
  }
  return repository
}

async function fromCache({ cache, start }: Batch): Promise<Repository | undefined> {
  const config = await cache.readFile('config')
  const id = (await cache.readFile('opened'))?.toString('latin1')
  const bytes = id === undefined ? undefined : await cache.read('keys', id)
  if (config === undefined || id === undefined || bytes === undefined) return undefined
  try {
    const keyFiles = [{ id, bytes }]
    const kept = await openRepositoryFrom({ config, keyFiles, password: start.password })
    // The first format may have been upgraded since.
    return kept.version === 1 ? undefined : kept
  } catch (error) {
    // Damaged, or of another password: the control plane has what is true.
    if (error instanceof RepositoryError) return undefined
    throw error
  }
}
