// What makes a repository ours, kept on disk before it is sent: a repeat sends the same bytes.
import type * as z from 'zod'
import { initialiseRequest } from '../../shared/protocol/calls.ts'
import { RepositoryError } from '../repository/errors.ts'
import { idOf, type Random } from '../repository/id.ts'
import { openRepositoryFrom } from '../repository/repository.ts'
import type { Batch } from './batch.ts'
import type { SmallFile } from './small-cache.ts'

/** Config, key files and escrow, sealed. */
const madeOnce = initialiseRequest.pick({ config: true, keys: true, escrow: true })
export type MadeOnce = z.infer<typeof madeOnce>

/** Random bytes of a recovery password: as strong as the key it protects. */
const passwordBytes = 32

export function newRecoveryPassword(random: Random): string {
  return random(passwordBytes).toString('base64url')
}

/** What an earlier attempt made, if it fits this host's password and recipient. */
export async function madeBefore(
  batch: Batch,
  file: SmallFile,
  recipient: string,
): Promise<MadeOnce | undefined> {
  const text = await batch.cache.readFile(file)
  if (text === undefined) return undefined
  const parsed = madeOnce.safeParse(parse(text))
  if (!parsed.success || parsed.data.escrow.recipient !== recipient) return undefined
  const keyFiles = parsed.data.keys.map((key) => {
    const bytes = Buffer.from(key, 'base64')
    return { id: idOf(bytes), bytes }
  })
  try {
    const config = Buffer.from(parsed.data.config, 'base64')
    const first = keyFiles.slice(0, 1)
    await openRepositoryFrom({ config, keyFiles: first, password: batch.start.password })
    return parsed.data
  } catch (error) {
    if (error instanceof RepositoryError) return undefined
    throw error
  }
}

/** Keeps it for the next attempt. */
export function keepMade(batch: Batch, file: SmallFile, made: MadeOnce): Promise<void> {
  return batch.cache.writeFile(file, Buffer.from(JSON.stringify(made)))
}

/** From now on the repository opens without a question, with the first of the key files. */
export async function keepOpened({ cache }: Batch, made: MadeOnce): Promise<void> {
  const own = Buffer.from(made.keys[0]!, 'base64')
  await cache.add('keys', idOf(own), own)
  await cache.writeFile('config', Buffer.from(made.config, 'base64'))
  await cache.writeFile('opened', Buffer.from(idOf(own)))
}

function parse(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString('utf8'))
  } catch {
    return undefined
  }
}
