// The end of a job that something went wrong with.
import { RepositoryError } from '../repository/errors.ts'
import type { Batch, Job } from './batch.ts'

/** A cancelled job is cancelled, whatever else went wrong around it. */
export function fail(batch: Batch, job: Job, error: unknown): Promise<void> {
  return batch.reporter.failed(job.assigned.id, job.signal.aborted ? job.signal.reason : error)
}

/** What makes the writer useless for every job of the batch. */
export function isWriterFault(error: unknown): boolean {
  if (!(error instanceof RepositoryError)) return false
  return error.code === 'writer-broken' || error.code === 'self-check-failed'
}
