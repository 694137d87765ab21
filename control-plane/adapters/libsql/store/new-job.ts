// Rows of the jobs table, as statements.
import type { FinishedJob, NewJob } from '../../../ports/store/job-requests.ts'
import type { Statement } from '../change.ts'

const COLUMNS = `id, kind, host, repository, source, policy, policy_name, slot_at, parameters_json,
  requested_by, created_at`

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

/** The members of each row of a JSON list, in order. */
function members(count: number): string {
  return Array.from({ length: count }, (_, column) => `value ->> ${column}`).join(', ')
}

/**
 * Waiting jobs, as one statement however many there are. None for hosts that were removed. `condition`
 * goes into the WHERE.
 */
export function insertQueued(jobs: readonly NewJob[], condition: string): Statement {
  const rows = jobs.map(values)
  return {
    sql: `INSERT INTO jobs (${COLUMNS}, state)
          SELECT ${members(11)}, 'queued' FROM json_each(?)
          WHERE EXISTS (SELECT 1 FROM hosts WHERE hosts.id = value ->> 2 AND hosts.removed_at IS NULL)
          AND ${condition} ORDER BY key`,
    args: [JSON.stringify(rows)],
  }
}

/** Jobs that are over before they began. */
export function insertFinished(
  jobs: readonly (NewJob & FinishedJob)[],
  condition: string,
): Statement {
  const rows = jobs.map((job) => [
    ...values(job),
    job.outcome,
    job.reason,
    job.message,
    job.finishedAt,
  ])
  return {
    sql: `INSERT INTO jobs (${COLUMNS}, outcome, reason, message, finished_at, state)
          SELECT ${members(15)}, 'finished' FROM json_each(?) WHERE ${condition} ORDER BY key`,
    args: [JSON.stringify(rows)],
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
