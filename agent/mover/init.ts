// Making a repository: keys that are born here, and an escrow that only the operator can open.
import type * as z from 'zod'
import { toBase64 } from '../../shared/bytes.ts'
import { initialiseRequest } from '../../shared/protocol/calls.ts'
import { RepositoryError } from '../repository/errors.ts'
import { idOf } from '../repository/id.ts'
import { openRepositoryFrom, prepareRepository } from '../repository/repository.ts'
import type { Batch, JobOf } from './batch.ts'
import { JobFailure } from './job-failure.ts'
import type { JobEnd } from './reporter.ts'
import { sealTo } from './sealed.ts'

/** Everything a new repository is made of, sealed: kept on disk so that a repeat sends the same bytes. */
const madeOnce = initialiseRequest.pick({ config: true, keys: true, escrow: true })
type MadeOnce = z.infer<typeof madeOnce>

/** Random bytes of a recovery password: as strong as the key it protects. */
const passwordBytes = 32

/** Rejects with `no-recovery-recipient` where the operator pinned none on this host. */
export async function runInit(batch: Batch, job: JobOf<'init'>): Promise<JobEnd> {
  const { cache, start, plane } = batch
  const recipient = start.recoveryRecipient
  if (recipient === undefined) {
    throw new JobFailure('no-recovery-recipient', 'no recovery recipient is pinned on this host')
  }
  const made = (await madeBefore(batch, recipient)) ?? (await make(batch, recipient))
  // If we die here nothing was sent yet, and the next attempt sends these same bytes.
  await plane.ask('initialise', { ...job.attempt, ...made }, { signal: job.signal })
  // If we die here the repository exists, and a repeat with the same bytes succeeds.
  const own = Buffer.from(made.keys[0]!, 'base64')
  await cache.add('keys', idOf(own), own)
  await cache.writeFile('config', Buffer.from(made.config, 'base64'))
  await cache.writeFile('opened', Buffer.from(idOf(own)))
  return { outcome: 'succeeded', reason: 'completed' }
}

async function make(batch: Batch, recipient: string): Promise<MadeOnce> {
  const { bytes, clock, start, cache } = batch
  const recoveryPassword = bytes(passwordBytes).toString('base64url')
  const { keyFiles, config } = await prepareRepository({
    passwords: [start.password, recoveryPassword],
    random: bytes,
    clock,
    hostname: start.repository.hostname,
    username: 'holdfast',
  })
  const sealed = await sealTo([recipient], recoveryPassword)
  const made = {
    config: toBase64(config),
    keys: keyFiles.map((file) => toBase64(file.bytes)),
    escrow: { recipient, sealed },
  }
  await cache.writeFile('init.json', Buffer.from(JSON.stringify(made)))
  return made
}

/** What an earlier attempt made, if it fits this host's password and recipient. */
async function madeBefore(batch: Batch, recipient: string): Promise<MadeOnce | undefined> {
  const text = await batch.cache.readFile('init.json')
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

function parse(text: Buffer): unknown {
  try {
    return JSON.parse(text.toString('utf8'))
  } catch {
    return undefined
  }
}
