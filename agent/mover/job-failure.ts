// How a job says in so many words why it did not work.
import type { Reason } from '../../shared/backup/outcome.ts'

/** Ends one job as failed. `message` is for the operator: counts and hashes, no file names, no secrets. */
export class JobFailure extends Error {
  readonly reason: Reason
  constructor(reason: Reason, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'JobFailure'
    this.reason = reason
  }
}

/** A person stopped the job; the reason of its abort signal. */
export class JobCancelled extends Error {
  constructor() {
    super('a person stopped the job')
    this.name = 'JobCancelled'
  }
}
