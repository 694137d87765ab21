// The backups of a batch: one lock, one index, one writer; a snapshot each.

import { join } from 'node:path'
import { type BackupJob, BackupRun } from './backup-run.ts'
import type { Batch } from './batch.ts'
import { fail } from './fail.ts'
import { JobFailure } from './job-failure.ts'
import { LockLostError, takeLock } from './lock.ts'
import { openRepository } from './open-repository.ts'
import { openPackJournal } from './pack-journal.ts'
import type { AttemptOf } from './plane.ts'
import { requireWritable } from './read-only.ts'

/** Locks lost in one batch before it gives up; each took twenty minutes of silence. */
const lockRounds = 3

/** Every job has its `done` when this resolves, unless the batch as a whole was stopped. */
export async function runBackups(batch: Batch, jobs: readonly BackupJob[]): Promise<void> {
  const open = () => jobs.filter((job) => !batch.reporter.isDone(job.assigned.id))
  try {
    if (batch.start.recoveryRecipient === undefined) {
      throw new JobFailure('no-recovery-recipient', 'no recovery recipient is pinned on this host')
    }
    for (let round = 1; open().length > 0; round++) {
      try {
        await underLock(batch, open())
      } catch (error) {
        if (!(error instanceof LockLostError) || round === lockRounds) throw error
        batch.log('warn', 'The lock was lost; beginning again', { attempts: round })
      }
    }
  } catch (error) {
    batch.signal.throwIfAborted()
    for (const job of open()) await fail(batch, job, error)
  }
}

async function underLock(batch: Batch, jobs: readonly BackupJob[]): Promise<void> {
  const first = jobs[0]!
  /** Whoever is not done yet may speak for the batch. */
  const speaker = (): AttemptOf =>
    (jobs.find((job) => !batch.reporter.isDone(job.assigned.id) && !job.signal.aborted) ?? first)
      .attempt
  batch.speak(speaker())
  const repository = await openRepository(batch, speaker(), batch.signal)
  requireWritable(repository)
  const lock = await takeLock(batch, repository, speaker, batch.signal)
  const signal = AbortSignal.any([batch.signal, lock.signal, allCancelled(batch, jobs)])
  try {
    const directory = join(batch.start.paths.cache, 'unlisted')
    const { masterKey: key } = repository
    const now = batch.clock.now()
    // Opened under each new lock: what an earlier one saw in the store may be gone since.
    const journal = await openPackJournal({ directory, key, random: batch.bytes, now })
    try {
      await new BackupRun(batch, repository, journal, jobs, speaker, signal).run()
    } finally {
      await journal.close()
    }
  } catch (error) {
    throw lock.signal.aborted ? lock.signal.reason : error
  } finally {
    await lock.release()
  }
}

/**
 * Fires once every job that is not done was cancelled: then nobody waits for what is on its way. As long as one
 * is left, uploads go on, because a pack holds pieces of several jobs.
 */
function allCancelled(batch: Batch, jobs: readonly BackupJob[]): AbortSignal {
  const all = new AbortController()
  const look = (): void => {
    const left = jobs.filter((job) => !batch.reporter.isDone(job.assigned.id))
    if (left.every((job) => job.signal.aborted)) all.abort(left[0]?.signal.reason)
  }
  for (const job of jobs) job.signal.addEventListener('abort', look, { once: true })
  return all.signal
}
