// Rows of the jobs table, as statements.
import type { FinishedJob, NewJob } from '../../../ports/store/job-requests.ts'
import type { Statement } from '../change.ts'

const COLUMNS = `id, kind, host, repository, source, policy, policy_name, slot_at, parameters_json,
  requested_by, created_at, state`

function values(job: NewJob): (string | number | null)[] {
  return [
    job.id,
    job.kind,
    job.host,
    job.repository,
    job.source,
    job.policy,
    job.policyName,
    job.slotAt,
    JSON.stringify(job.parameters),
    job.requestedBy,
    job.createdAt,
  ]
}

/** A waiting job. `condition` goes into the WHERE. */
export function insertQueued(job: NewJob, condition: string): Statement {
  return {
    sql: `INSERT INTO jobs (${COLUMNS})
          SELECT ?, ?, hosts.id, ?, ?, ?, ?, ?, ?, ?, ?, 'queued' FROM hosts
          WHERE hosts.id = ? AND hosts.removed_at IS NULL AND ${condition}`,
    args: [...values(job).filter((_, column) => column !== 2), job.host],
  }
}

/** A job that is over before it began. */
export function insertFinished(job: NewJob & FinishedJob, condition: string): Statement {
  return {
    sql: `INSERT INTO jobs (${COLUMNS}, outcome, reason, message, finished_at)
          SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'finished', ?, ?, ?, ? WHERE ${condition}`,
    args: [...values(job), job.outcome, job.reason, job.message, job.finishedAt],
  }
}

/** Ends a waiting job. `condition` goes into the WHERE. */
export function finishQueued(job: FinishedJob, condition: string): Statement {
  return {
    sql: `UPDATE jobs SET state = 'finished', outcome = ?, reason = ?, message = ?, finished_at = ?
          WHERE id = ? AND state = 'queued' AND ${condition}`,
    args: [job.outcome, job.reason, job.message, job.finishedAt, job.id],
  }
}
