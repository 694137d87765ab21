// Taking over a repository that another program made: nothing is copied, two key files are added, its snapshots told.
import { fromBase64, toBase64 } from '../../shared/bytes.ts'
import { MAX_KEY_FILES } from '../../shared/protocol/calls.ts'
import type { Id } from '../repository/id.ts'
import { addPassword, openRepositoryFrom, type Repository } from '../repository/repository.ts'
import type { Batch, JobOf } from './batch.ts'
import { JobFailure } from './job-failure.ts'
import { listAll } from './listing.ts'
import {
  keepMade,
  keepOpened,
  type MadeOnce,
  madeBefore,
  newRecoveryPassword,
} from './made-once.ts'
import { tellUnknownSnapshots } from './prune-snapshots.ts'
import { readOnly } from './read-only.ts'
import type { JobEnd } from './reporter.ts'
import { sealTo } from './sealed.ts'

/** Our own password's, and the recovery password's. */
const keysAdded = 2

/**
 * Take over the repository that `password` opens. Rejects with `wrong-password` where it opens nothing, and with
 * `repository-damaged` where config or keys cannot be read. A repository of format 1 is taken over to be read, and
 * ends as a warning.
 */
export async function runAdopt(
  batch: Batch,
  job: JobOf<'init'>,
  password: string,
): Promise<JobEnd> {
  const { plane, start, clock } = batch
  const recipient = start.recoveryRecipient
  if (recipient === undefined) {
    throw new JobFailure('no-recovery-recipient', 'no recovery recipient is pinned on this host')
  }
  const found = await openForeign(batch, job, password)
  const made = (await addedBefore(batch, recipient, found)) ?? (await add(batch, recipient, found))
  // If we die here nothing was sent yet, and the next attempt sends these same bytes.
  await plane.ask('initialise', { ...job.attempt, ...made }, { signal: job.signal })
  // If we die here the repository is ours; the next attempt, or the next prune, tells of its snapshots.
  await keepOpened(batch, made)
  const { repository } = found
  const told = await tellUnknownSnapshots(batch, job.attempt, repository, job.signal)
  const entered = `${told} snapshots that others made were entered`
  const milliseconds = Math.round(clock.monotonic() - job.begunAt())
  const counts = { files: told, bytes: 0, milliseconds }
  if (repository.version === 2) {
    return { outcome: 'succeeded', reason: 'completed', message: entered, counts }
  }
  const message = `${entered}; ${readOnly}`
  return { outcome: 'warning', reason: 'repository-read-only', message, counts }
}

interface Found {
  readonly repository: Repository
  readonly config: Buffer
  readonly keys: number
}

/** Always asked for: what this host may have kept is of another repository. */
async function openForeign(batch: Batch, job: JobOf<'init'>, password: string): Promise<Found> {
  const { plane } = batch
  const { attempt, signal } = job
  const read = async (what: 'config' | 'key', id?: Id): Promise<Buffer> => {
    const body = { ...attempt, what, ...(id === undefined ? {} : { id }) }
    return Buffer.from(fromBase64((await plane.ask('read', body, { signal })).bytes))
  }
  const config = await read('config')
  const { objects } = await listAll(plane, attempt, 'keys', signal)
  const keyFiles: { id: Id; bytes: Buffer }[] = []
  for (const { id } of objects) keyFiles.push({ id, bytes: await read('key', id) })
  const repository = await openRepositoryFrom({ config, keyFiles, password })
  return { config, repository, keys: keyFiles.length }
}

async function add(batch: Batch, recipient: string, found: Found): Promise<MadeOnce> {
  const { bytes: random, clock, start } = batch
  if (found.keys + keysAdded > MAX_KEY_FILES) {
    throw new JobFailure(
      'target-invalid',
      `the repository has ${found.keys} key files and may have ${MAX_KEY_FILES - keysAdded} at most: take some away with "restic key remove"`,
    )
  }
  const recoveryPassword = newRecoveryPassword(random)
  const keys: string[] = []
  for (const password of [start.password, recoveryPassword]) {
    const { masterKey } = found.repository
    const { hostname } = start.repository
    const wanted = { masterKey, password, random, clock, hostname, username: 'holdfast' }
    keys.push(toBase64((await addPassword(wanted)).bytes))
  }
  const sealed = await sealTo([recipient], recoveryPassword)
  const made = { config: toBase64(found.config), keys, escrow: { recipient, sealed } }
  await keepMade(batch, 'adopt.json', made)
  return made
}

/** What an earlier attempt made, if it is for this very repository. */
async function addedBefore(
  batch: Batch,
  recipient: string,
  { config }: Found,
): Promise<MadeOnce | undefined> {
  const made = await madeBefore(batch, 'adopt.json', recipient)
  return made?.config === toBase64(config) ? made : undefined
}
