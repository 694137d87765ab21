// Making a repository: keys that are born here, and an escrow that only the operator can open.
import { toBase64 } from '../../shared/bytes.ts'
import { prepareRepository } from '../repository/repository.ts'
import type { Batch, JobOf } from './batch.ts'
import { JobFailure } from './job-failure.ts'
import {
  keepMade,
  keepOpened,
  type MadeOnce,
  madeBefore,
  newRecoveryPassword,
} from './made-once.ts'
import type { JobEnd } from './reporter.ts'
import { sealTo } from './sealed.ts'

/** Rejects with `no-recovery-recipient` where the operator pinned none on this host. */
export async function runInit(batch: Batch, job: JobOf<'init'>): Promise<JobEnd> {
  const recipient = batch.start.recoveryRecipient
  if (recipient === undefined) {
    throw new JobFailure('no-recovery-recipient', 'no recovery recipient is pinned on this host')
  }
  const made = (await madeBefore(batch, 'init.json', recipient)) ?? (await make(batch, recipient))
  // If we die here nothing was sent yet, and the next attempt sends these same bytes.
  await batch.plane.ask('initialise', { ...job.attempt, ...made }, { signal: job.signal })
  // If we die here the repository exists, and a repeat with the same bytes succeeds.
  await keepOpened(batch, made)
  return { outcome: 'succeeded', reason: 'completed' }
}

async function make(batch: Batch, recipient: string): Promise<MadeOnce> {
  const { bytes, clock, start } = batch
  const recoveryPassword = newRecoveryPassword(bytes)
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
  await keepMade(batch, 'init.json', made)
  return made
}
