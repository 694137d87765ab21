// A job that cannot be begun, and why.
import type { Reason } from '../../shared/backup/outcome.ts'

/** Ends one job as failed before its mover begins. `message` is for the operator: no file names, no secrets. */
export class JobRefusal extends Error {
  readonly reason: Reason
  constructor(reason: Reason, message: string) {
    super(message)
    this.name = 'JobRefusal'
    this.reason = reason
  }
}
