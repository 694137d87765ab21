// Batches in libSQL.
import { and, asc, desc, eq, isNull, lte } from 'drizzle-orm'
import type { PolicyDocument } from '../../../../shared/policy/document.ts'
import {
  LIMITS_PROTOCOL_VERSION,
  PRUNE_PROTOCOL_VERSION,
} from '../../../../shared/protocol/version.ts'
import type { BatchesStore } from '../../../ports/store/batches.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { batches, jobs, snapshots } from '../schema.ts'
import { jobColumns } from './job-row.ts'

/** Movers that may work on one repository at a time. */
const MAX_OPEN = 2

/** A prune runs alone on its repository, and on an agent that knows what it is. Arguments: kind, repository, host. */
const ALONE = `NOT EXISTS (SELECT 1 FROM (SELECT ? AS kind, ? AS repository, ? AS host) wanted
  WHERE EXISTS (SELECT 1 FROM batches b WHERE b.repository = wanted.repository AND b.ended_at IS NULL
    AND 'prune' IN (b.kind, wanted.kind))
  OR (wanted.kind = 'prune' AND NOT EXISTS (SELECT 1 FROM hosts h
    WHERE h.id = wanted.host AND h.protocol >= ${PRUNE_PROTOCOL_VERSION})))`

export function createBatchesStore(database: Database): BatchesStore {
  const { orm } = database
  return {
    async find(id) {
      const [row] = await orm.select().from(batches).where(eq(batches.id, id))
      return row
    },
    unaccepted: (host) =>
      orm
        .select()
        .from(batches)
        .where(and(eq(batches.host, host), isNull(batches.endedAt), isNull(batches.acceptedAt)))
        .orderBy(asc(batches.createdAt)),
    async offerAgain(batch, leaseUntil) {
      const [result] = await database.write([
        {
          sql: `UPDATE jobs SET lease_until = MAX(lease_until, ?) WHERE batch = ? AND state = 'running'
                AND EXISTS (SELECT 1 FROM batches b WHERE b.id = batch AND b.accepted_at IS NULL AND b.ended_at IS NULL)`,
          args: [leaseUntil, batch],
        },
      ])
      return (result?.rowsAffected ?? 0) > 0
    },
    open: (repository) =>
      orm
        .select()
        .from(batches)
        .where(and(eq(batches.repository, repository), isNull(batches.endedAt))),
    jobs: (batch) =>
      orm
        .select(jobColumns)
        .from(jobs)
        .where(and(eq(jobs.batch, batch), eq(jobs.state, 'running')))
        .orderBy(asc(jobs.createdAt), asc(jobs.id)),
    queued: (host, now, limit) =>
      orm
        .select(jobColumns)
        .from(jobs)
        .where(and(eq(jobs.state, 'queued'), eq(jobs.host, host), lte(jobs.notBefore, now)))
        .orderBy(asc(jobs.createdAt), asc(jobs.id))
        .limit(limit),
    async busySources(repository) {
      const rows = await orm
        .select({ source: jobs.source })
        .from(jobs)
        .where(
          and(eq(jobs.state, 'running'), eq(jobs.kind, 'backup'), eq(jobs.repository, repository)),
        )
      return rows.flatMap(({ source }) => (source === null ? [] : [source]))
    },
    async hostsWithWork(now) {
      const { rows } = await database.read(
        `SELECT host FROM jobs WHERE state = 'queued' AND not_before <= ?
         UNION SELECT host FROM batches WHERE ended_at IS NULL AND accepted_at IS NULL`,
        [now],
      )
      return rows.map((row) => String(row.host))
    },
    start: (batch, trace) => {
      const ids = JSON.stringify(batch.jobs.map(({ id }) => id))
      return change(database, trace, {
        guard: {
          sql: `INSERT INTO batches (id, host, repository, kind, created_at)
                SELECT ?, ?, ?, ?, ?
                WHERE (SELECT COUNT(*) FROM jobs WHERE state = 'queued' AND id IN (SELECT value FROM json_each(?))) = ?
                AND (SELECT COUNT(*) FROM batches WHERE repository = ? AND ended_at IS NULL) < ${MAX_OPEN}
                AND NOT EXISTS (SELECT 1 FROM batches WHERE repository = ? AND kind = ? AND host = ? AND ended_at IS NULL)
                AND ${ALONE}`,
          args: [
            batch.id,
            batch.host,
            batch.repository,
            batch.kind,
            batch.at,
            ids,
            batch.jobs.length,
            batch.repository,
            batch.repository,
            batch.kind,
            batch.host,
            batch.kind,
            batch.repository,
            batch.host,
          ],
        },
        // Fences rise one job after the other, so that two jobs of one source never share one. The counter
        // lies at the source, or at the repository where the host knows no such source.
        then: batch.jobs.flatMap(({ id, parameters }) => [
          {
            sql: `UPDATE sources SET fence = MAX(fence, (SELECT fence FROM jobs WHERE id = ?)) + 1
                  WHERE (host, source) = (SELECT host, source FROM jobs WHERE id = ?) AND GATE`,
            args: [id, id],
          },
          {
            sql: `UPDATE repositories SET fence = MAX(fence, (SELECT fence FROM jobs WHERE id = ?)) + 1
                  WHERE id = ? AND NOT EXISTS (SELECT 1 FROM sources s JOIN jobs j
                    ON s.host = j.host AND s.source = j.source WHERE j.id = ?) AND GATE`,
            args: [id, batch.repository, id],
          },
          {
            sql: `UPDATE jobs SET state = 'running', attempt = attempt + 1, batch = ?, lease_until = ?,
                    started_at = COALESCE(started_at, ?), parameters_json = ?,
                    fence = COALESCE(
                      (SELECT fence FROM sources s WHERE s.host = jobs.host AND s.source = jobs.source),
                      (SELECT fence FROM repositories r WHERE r.id = jobs.repository))
                  WHERE id = ? AND GATE`,
            args: [batch.id, batch.leaseUntil, batch.at, JSON.stringify(parameters), id],
          },
        ]),
      })
    },
    queueInit: (job, trace) =>
      change(database, trace, {
        guard: {
          sql: `INSERT INTO jobs (id, kind, host, repository, state, parameters_json, requested_by, created_at)
                SELECT ?, 'init', ?, ?, 'queued', '{"kind":"init"}', 'system', ?
                WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE repository = ? AND kind = 'init' AND state <> 'finished')`,
          args: [job.id, job.host, job.repository, job.at, job.repository],
        },
      }),
    async governed(of) {
      const [where, argument] =
        'batch' in of
          ? ['b.id = ?', of.batch]
          : 'host' in of
            ? ['b.host = ? AND b.accepted_at IS NOT NULL', of.host]
            : [
                `b.id IN (SELECT batch FROM jobs WHERE state = 'running' AND policy_name = ?)`,
                of.policy,
              ]
      const { rows } = await database.read(
        `SELECT DISTINCT b.id AS batch, b.host AS host, p.document_json AS document
         FROM batches b JOIN hosts h ON h.id = b.host
         JOIN jobs j ON j.batch = b.id AND j.state = 'running'
         LEFT JOIN policies p ON p.name = j.policy_name AND p.deleted_at IS NULL
         WHERE b.ended_at IS NULL AND h.protocol >= ? AND ${where}`,
        [LIMITS_PROTOCOL_VERSION, argument],
      )
      const found = new Map<string, { batch: string; host: string; documents: PolicyDocument[] }>()
      for (const row of rows) {
        const batch = String(row.batch)
        const one = found.get(batch) ?? { batch, host: String(row.host), documents: [] }
        found.set(batch, one)
        if (row.document !== null) one.documents.push(JSON.parse(String(row.document)))
      }
      return [...found.values()]
    },
    async newestSnapshot(repository, source) {
      const [row] = await orm
        .select({ id: snapshots.id })
        .from(snapshots)
        .where(
          and(
            eq(snapshots.repository, repository),
            eq(snapshots.source, source),
            eq(snapshots.state, 'present'),
          ),
        )
        .orderBy(desc(snapshots.time))
        .limit(1)
      return row?.id
    },
  }
}
