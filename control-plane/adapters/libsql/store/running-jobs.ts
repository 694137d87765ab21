// Running jobs in libSQL.
import { and, asc, eq, lte, ne } from 'drizzle-orm'
import type { Attempt, End, RunningJobsStore } from '../../../ports/store/running-jobs.ts'
import { change, type Statement } from '../change.ts'
import type { Database } from '../client.ts'
import { batches, jobs } from '../schema.ts'
import { jobColumns } from './job-row.ts'

/** This very attempt runs, and nothing is being written in its name. */
const RUNS = `id = ? AND state = 'running' AND attempt = ? AND fence = ?
  AND NOT EXISTS (SELECT 1 FROM commits c WHERE c.job = jobs.id AND c.state = 'writing')
  AND NOT EXISTS (SELECT 1 FROM retirements t WHERE t.job = jobs.id AND t.state = 'removing')`

/** Another run of the same policy and source waits already (there may be one, see index jobs_pending). */
const OTHER_WAITS = `EXISTS (SELECT 1 FROM jobs o WHERE o.policy = jobs.policy AND o.host = jobs.host
  AND o.source = jobs.source AND o.state = 'queued' AND o.id <> jobs.id)`

/** The lease and every upload URL of the attempt are over. */
const LAPSED = `AND lease_until <= ? AND NOT EXISTS (
  SELECT 1 FROM batches b WHERE b.id = jobs.batch AND b.urls_until > ?)`

function attemptGuard(set: string, args: Statement['args'], attempt: Attempt, lapsedAt?: number) {
  return {
    sql: `UPDATE jobs SET ${set} WHERE ${RUNS} ${lapsedAt === undefined ? '' : LAPSED}`,
    args: [
      ...args,
      attempt.job,
      attempt.attempt,
      attempt.fence,
      ...(lapsedAt === undefined ? [] : [lapsedAt, lapsedAt]),
    ],
  }
}

/** Ends the batch of a job that just stopped running, unless others of it still run. */
const endBatch = (job: string, at: number): Statement => ({
  sql: `UPDATE batches SET ended_at = ? WHERE ended_at IS NULL AND id = (SELECT batch FROM jobs WHERE id = ?)
        AND NOT EXISTS (SELECT 1 FROM jobs WHERE batch = batches.id AND state = 'running') AND GATE`,
  args: [at, job],
})

const END = `state = 'finished', outcome = ?, reason = ?, message = ?, counts_json = ?, report = ?,
  finished_at = ?, lease_until = NULL`
const endArgs = (end: End) => [
  end.outcome,
  end.reason,
  end.message,
  end.counts === null ? null : JSON.stringify(end.counts),
  end.report,
  end.at,
]

export function createRunningJobsStore(database: Database): RunningJobsStore {
  const { orm } = database
  return {
    async find(id) {
      const [row] = await orm.select(jobColumns).from(jobs).where(eq(jobs.id, id))
      return row
    },
    async extend(host, batch, attempts, until, now) {
      const results = await database.write([
        {
          sql: 'UPDATE batches SET accepted_at = ? WHERE id = ? AND host = ? AND accepted_at IS NULL',
          args: [now, batch, host],
        },
        ...attempts.map(({ job, attempt, fence, progress }) => ({
          sql: `UPDATE jobs SET lease_until = MAX(lease_until, ?), progress_json = COALESCE(?, progress_json)
                WHERE id = ? AND host = ? AND batch = ? AND state = 'running' AND attempt = ? AND fence = ?
                RETURNING id, cancel_at`,
          args: [
            until,
            progress === undefined ? null : JSON.stringify(progress),
            job,
            host,
            batch,
            attempt,
            fence,
          ],
        })),
      ])
      return results
        .slice(1)
        .flatMap(({ rows }) => rows)
        .map((row) => ({ job: String(row.id), cancelled: row.cancel_at !== null }))
    },
    lapsed: (now, limit) =>
      orm
        .select(jobColumns)
        .from(jobs)
        .leftJoin(batches, eq(batches.id, jobs.batch))
        .where(
          and(eq(jobs.state, 'running'), lte(jobs.leaseUntil, now), lte(batches.urlsUntil, now)),
        )
        .orderBy(asc(jobs.leaseUntil))
        .limit(limit),
    finish: (attempt, end, trace, lapsedAt) =>
      change(database, trace, {
        guard: attemptGuard(END, endArgs(end), attempt, lapsedAt),
        then: [
          endBatch(attempt.job, end.at),
          // The catalogue says how the run ended that made the snapshot.
          {
            sql: 'UPDATE snapshots SET outcome = ? WHERE job = ? AND GATE',
            args: [end.outcome, attempt.job],
          },
        ],
      }),
    requeue: (attempt, when, trace, lapsedAt) => {
      const guard = attemptGuard(
        `state = 'queued', not_before = ?, lease_until = NULL, progress_json = NULL`,
        [when.notBefore],
        attempt,
        lapsedAt,
      )
      return change(database, trace, {
        guard: { ...guard, sql: `${guard.sql} AND NOT ${OTHER_WAITS}` },
        then: [endBatch(attempt.job, when.at)],
      })
    },
    finishQueued: (job, end, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE jobs SET ${END} WHERE id = ? AND state = 'queued'`,
          args: [...endArgs(end), job],
        },
      }),
    async superseded(job) {
      const { rows } = await database.read(`SELECT 1 FROM jobs WHERE id = ? AND ${OTHER_WAITS}`, [
        job,
      ])
      return rows.length > 0
    },
    waiting: (repository) =>
      orm
        .select(jobColumns)
        .from(jobs)
        .where(
          and(eq(jobs.repository, repository), eq(jobs.state, 'queued'), ne(jobs.kind, 'init')),
        )
        .orderBy(asc(jobs.createdAt), asc(jobs.id)),
  }
}
