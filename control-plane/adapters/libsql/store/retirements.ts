// Proposals, retirements and condemned packs in libSQL.
import { and, asc, desc, eq, gt, inArray } from 'drizzle-orm'
import { DAY } from '../../../../shared/clock.ts'
import type { RetirementRow, RetirementsStore } from '../../../ports/store/retirements.ts'
import { change, type Statement } from '../change.ts'
import type { Database } from '../client.ts'
import { condemned, proposals, retirements, snapshots } from '../schema.ts'

/** Rows of one INSERT … FROM json_each: a statement of about 1 MB. */
const CHUNK = 5_000

/** The attempt that asks is the one that runs. */
const RUNS = `EXISTS (SELECT 1 FROM jobs j WHERE j.id = ? AND j.state = 'running' AND j.attempt = ? AND j.fence = ?)`

function chunks<T>(list: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(list.length / CHUNK) }, (_, n) =>
    list.slice(n * CHUNK, (n + 1) * CHUNK),
  )
}

interface NewlyCondemned {
  readonly id: string
  readonly bytes: number
  readonly heirs: readonly string[]
}

/** A pack whose deletion has begun stays where it is. */
function condemn(row: RetirementRow, packs: readonly NewlyCondemned[], at: number): Statement[] {
  return chunks(packs).map((some) => ({
    sql: `INSERT INTO condemned (repository, id, bytes, state, heirs_json, job, at)
          SELECT ?, value ->> 'id', COALESCE((SELECT bytes FROM objects o WHERE o.repository = ? AND o.id = value ->> 'id'),
            value ->> 'bytes'), 'condemned', json(value -> 'heirs'), ?, ? FROM json_each(?) WHERE GATE
          ON CONFLICT (repository, id) DO UPDATE SET state = 'condemned', heirs_json = excluded.heirs_json,
            job = excluded.job, at = excluded.at, confirmed_at = NULL, confirmed_by = NULL, deleted_at = NULL
            WHERE condemned.state <> 'deleting'`,
    args: [row.repository, row.repository, row.job, at, JSON.stringify(some)],
  }))
}

export function createRetirementsStore(database: Database): RetirementsStore {
  const { orm } = database
  return {
    async packBytes(repository) {
      const { rows } = await database.read(
        `SELECT COALESCE(SUM(bytes), 0) AS bytes FROM objects WHERE repository = ? AND what = 'pack'`,
        [repository],
      )
      return Number(rows[0]?.bytes ?? 0)
    },
    propose: (attempt, proposal, trace) =>
      change(database, trace, {
        guard: {
          sql: `INSERT INTO proposals (job, attempt, unreferenced_bytes, repack_bytes, packs, own_bytes, decision, at)
                SELECT ?, ?, ?, ?, ?, ?, ?, ? WHERE ${RUNS}
                ON CONFLICT (job, attempt) DO UPDATE SET unreferenced_bytes = excluded.unreferenced_bytes,
                  repack_bytes = excluded.repack_bytes, packs = excluded.packs, own_bytes = excluded.own_bytes,
                  decision = excluded.decision, at = excluded.at`,
          args: [
            proposal.job,
            proposal.attempt,
            proposal.unreferencedBytes,
            proposal.repackBytes,
            proposal.packs,
            proposal.ownBytes,
            proposal.decision,
            proposal.at,
            attempt.job,
            attempt.attempt,
            attempt.fence,
          ],
        },
      }),
    async proposal(job, attempt) {
      const [row] = await orm
        .select()
        .from(proposals)
        .where(and(eq(proposals.job, job), eq(proposals.attempt, attempt)))
      return row
    },
    async lastProposal(job) {
      const [row] = await orm
        .select()
        .from(proposals)
        .where(eq(proposals.job, job))
        .orderBy(desc(proposals.attempt))
        .limit(1)
      return row
    },
    async find(job, attempt): Promise<RetirementRow | undefined> {
      const [row] = await orm
        .select()
        .from(retirements)
        .where(and(eq(retirements.job, job), eq(retirements.attempt, attempt)))
      return row
    },
    claim: (row, trace) =>
      change(database, trace, {
        guard: {
          sql: `INSERT INTO retirements (job, attempt, fence, batch, repository, state, code, message, body_sha256,
                  retirement_json, signature, at, ended_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job, attempt) DO NOTHING`,
          args: [
            row.job,
            row.attempt,
            row.fence,
            row.batch,
            row.repository,
            row.state,
            row.code,
            row.message,
            row.bodySha256,
            row.state === 'refused' ? null : row.text,
            row.signature,
            row.at,
            row.endedAt,
          ],
        },
      }),
    openIds: (limit) =>
      orm
        .select({ job: retirements.job, attempt: retirements.attempt })
        .from(retirements)
        .where(inArray(retirements.state, ['checking', 'removing']))
        .orderBy(asc(retirements.at))
        .limit(limit),
    beginRemoving: (row, epoch, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE retirements SET state = 'removing' WHERE job = ? AND attempt = ? AND state = 'checking'
                AND ${RUNS} AND EXISTS (SELECT 1 FROM repositories r WHERE r.id = ? AND r.epoch = ?)`,
          args: [row.job, row.attempt, row.job, row.attempt, row.fence, row.repository, epoch],
        },
      }),
    async setRemoved(job, attempt, removed) {
      await database.write([
        {
          sql: `UPDATE retirements SET removed = MAX(removed, ?) WHERE job = ? AND attempt = ? AND state = 'removing'`,
          args: [removed, job, attempt],
        },
      ])
    },
    accept: (row, unindexed, at, trace) => {
      const { retirement, repository } = row
      const changed = retirement.condemned.length + retirement.replacedIndexes.length > 0
      const named = JSON.stringify([
        ...retirement.confirmed,
        ...retirement.condemned.map(({ id }) => id),
        ...unindexed.map(({ id }) => id),
      ])
      return change(database, trace, {
        guard: {
          sql: `UPDATE retirements SET state = 'accepted', retirement_json = NULL, ended_at = ?
                WHERE job = ? AND attempt = ? AND state = 'removing'`,
          args: [at, row.job, row.attempt],
        },
        then: [
          {
            sql: `UPDATE condemned SET confirmed_at = ?, confirmed_by = ? WHERE repository = ? AND state = 'condemned'
                  AND job <> ? AND id IN (SELECT value FROM json_each(?)) AND GATE`,
            args: [at, row.job, repository, row.job, JSON.stringify(retirement.confirmed)],
          },
          // What this prune did not find unreferenced again may be in use again: an index file that lists it came back.
          {
            sql: `DELETE FROM condemned WHERE repository = ? AND state = 'condemned' AND job <> ?
                  AND id NOT IN (SELECT value FROM json_each(?)) AND GATE`,
            args: [repository, row.job, named],
          },
          ...condemn(row, retirement.condemned, at),
          ...condemn(
            row,
            unindexed.map((pack) => ({ ...pack, heirs: [] })),
            at,
          ),
          {
            sql: `DELETE FROM objects WHERE repository = ? AND what = 'index' AND id IN (SELECT value FROM json_each(?)) AND GATE`,
            args: [repository, JSON.stringify(retirement.replacedIndexes)],
          },
          {
            sql: `UPDATE repositories SET epoch = epoch + ?, pruned_at = ? WHERE id = ? AND GATE`,
            args: [changed || unindexed.length > 0 ? 1 : 0, at, repository],
          },
        ],
      })
    },
    refuse: (row, why, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE retirements SET state = 'refused', code = ?, message = ?, retirement_json = NULL, ended_at = ?
                WHERE job = ? AND attempt = ? AND state = 'checking'`,
          args: [why.code, why.message, why.at, row.job, row.attempt],
        },
      }),
    async condemned(repository) {
      const rows = await orm
        .select({
          id: condemned.id,
          bytes: condemned.bytes,
          state: condemned.state,
          heirs: condemned.heirs,
        })
        .from(condemned)
        .where(eq(condemned.repository, repository))
      return new Map(rows.map((row) => [row.id, row]))
    },
    condemnedPage: (repository, after, limit) =>
      orm
        .select({ id: condemned.id, bytes: condemned.bytes })
        .from(condemned)
        .where(
          and(
            eq(condemned.repository, repository),
            eq(condemned.state, 'condemned'),
            gt(condemned.id, after),
          ),
        )
        .orderBy(asc(condemned.id))
        .limit(limit),
    async ofOpenJobs(repository, packs) {
      const { rows } = await database.read(
        `SELECT o.id FROM objects o JOIN jobs j ON j.id = o.job
         WHERE o.repository = ? AND j.state <> 'finished' AND o.id IN (SELECT value FROM json_each(?))
         UNION SELECT g.object FROM grants g JOIN jobs j ON j.id = g.job
         WHERE j.repository = ? AND g.method = 'PUT' AND j.state <> 'finished'
         AND g.object IN (SELECT value FROM json_each(?))`,
        [repository, JSON.stringify(packs), repository, JSON.stringify(packs)],
      )
      return new Set(rows.map((row) => String(row.id)))
    },
    async due(now, since, limit) {
      const { rows } = await database.read(
        `SELECT c.repository, r.host, r.vault, c.id, c.bytes, c.state FROM condemned c
         JOIN repositories r ON r.id = c.repository JOIN vaults v ON v.id = r.vault
         WHERE c.state = 'deleting' OR (c.state = 'condemned' AND c.confirmed_at > ?
           AND c.at + v.retention_floor_days * ${DAY} <= ?)
         ORDER BY c.state DESC, c.repository, c.id LIMIT ?`,
        [since, now, limit],
      )
      return rows.map((row) => ({
        repository: String(row.repository),
        host: String(row.host),
        vault: String(row.vault),
        id: String(row.id),
        bytes: Number(row.bytes),
        state: row.state === 'deleting' ? 'deleting' : 'condemned',
      }))
    },
    async beginDeleting(repository, packs, trace) {
      await change(database, trace, {
        // One row decides for all: the last accepted prune is still the one that confirmed them.
        guard: {
          sql: `UPDATE repositories SET pruned_at = pruned_at WHERE id = ?`,
          args: [repository],
        },
        then: [
          {
            sql: `UPDATE condemned SET state = 'deleting' WHERE repository = ? AND state = 'condemned'
                  AND confirmed_at IS NOT NULL AND id IN (SELECT value FROM json_each(?)) AND GATE`,
            args: [repository, JSON.stringify(packs)],
          },
        ],
      })
    },
    deleted: (repository, packs, at, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE repositories SET pruned_at = pruned_at WHERE id = ? AND EXISTS (SELECT 1 FROM condemned c
                WHERE c.repository = repositories.id AND c.state = 'deleting' AND c.id IN (SELECT value FROM json_each(?)))`,
          args: [repository, JSON.stringify(packs)],
        },
        then: [
          {
            sql: `UPDATE condemned SET state = 'deleted', deleted_at = ? WHERE repository = ? AND state = 'deleting'
                  AND id IN (SELECT value FROM json_each(?)) AND GATE`,
            args: [at, repository, JSON.stringify(packs)],
          },
          {
            sql: `DELETE FROM objects WHERE repository = ? AND what = 'pack' AND id IN (SELECT value FROM json_each(?)) AND GATE`,
            args: [repository, JSON.stringify(packs)],
          },
        ],
      }),
    async neededFor(repository, packs) {
      const kept = await orm
        .select({ id: snapshots.id })
        .from(snapshots)
        .where(and(eq(snapshots.repository, repository), eq(snapshots.state, 'present')))
      // One snapshot at a time: a receipt may name half a million packs, and the binding is synchronous. What goes is
      // looked up as a set: joined, both lists would be walked against each other.
      for (const { id } of kept) {
        const { rows } = await database.read(
          `SELECT p.value AS pack FROM snapshots s, json_each(s.receipt_json, '$.refers.packs') p
           JOIN jobs j ON j.id = s.job JOIN batches b ON b.id = j.batch
           CROSS JOIN objects o ON o.repository = s.repository AND o.id = p.value
           WHERE s.id = ? AND p.value IN (SELECT value FROM json_each(?)) AND s.receipt_json -> '$.refers.base' = 'null' AND o.stored_at < b.created_at LIMIT 1`,
          [id, JSON.stringify(packs)],
        )
        if (rows[0] !== undefined) return { snapshot: id, pack: String(rows[0].pack) }
      }
      return undefined
    },
    async refers(repository, ids) {
      const found: { id: string; base: string | null; packs: readonly string[] | null }[] = []
      for (const some of chunks(ids)) {
        const rows = await orm
          .select({ id: snapshots.id, receipt: snapshots.receipt })
          .from(snapshots)
          .where(and(eq(snapshots.repository, repository), inArray(snapshots.id, some)))
        for (const { id, receipt } of rows) {
          found.push({
            id,
            base: receipt?.refers.base ?? null,
            packs: receipt?.refers.packs ?? null,
          })
        }
      }
      return found
    },
  }
}
