// All jobs of a batch, kind by kind, each with one end.

import type { Batch, Job, JobOf } from './batch.ts'
import type { JobEnd } from './reporter.ts'

type Kind = Job['assigned']['parameters']['kind']

function isOf<K extends Kind>(kind: K): (job: Job) => job is JobOf<K> {
  return (job): job is JobOf<K> => job.assigned.parameters.kind === kind
}

/** Every job has its `done` when this resolves. Rejects only when the batch as a whole is stopped. */
export async function runBatch(batch: Batch, jobs: readonly Job[]): Promise<void> {
  // A repository is made before it is written, and written before it is read.
  for (const job of jobs.filter(isOf('init'))) await alone(batch, job, makeOrAdopt)
  const backups = jobs.filter(isOf('backup'))
  if (backups.length > 0) await (await import('./backup.ts')).runBackups(batch, backups)
  for (const job of jobs.filter(isOf('prune')))
    await alone(batch, job, async (...of) => (await import('./prune.ts')).runPrune(...of))
  for (const job of jobs.filter(isOf('verify')))
    await alone(batch, job, async (...of) => (await import('./verify.ts')).runVerify(...of))
  for (const job of jobs.filter(isOf('restore')))
    await alone(batch, job, async (...of) => (await import('./restore.ts')).runRestore(...of))
  for (const job of jobs.filter(isOf('browse')))
    await alone(batch, job, async (...of) => (await import('./browse.ts')).runBrowse(...of))
}

async function makeOrAdopt(batch: Batch, job: JobOf<'init'>): Promise<JobEnd> {
  const { adoptPassword } = job.prepared
  if (adoptPassword === undefined) return (await import('./init.ts')).runInit(batch, job)
  return (await import('./adopt.ts')).runAdopt(batch, job, adoptPassword)
}

async function alone<J extends Job>(
  batch: Batch,
  job: J,
  run: (batch: Batch, job: J) => Promise<JobEnd>,
): Promise<void> {
  const { id } = job.assigned
  try {
    job.signal.throwIfAborted()
    await batch.reporter.done(id, await run(batch, job))
  } catch (error) {
    batch.signal.throwIfAborted()
    await batch.reporter.failed(id, job.signal.aborted ? job.signal.reason : error)
  }
}
