// The life of snapshots in libSQL.
import { and, eq, inArray } from 'drizzle-orm'
import type { RepositoryDue, SnapshotsStore } from '../../../ports/store/snapshots.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { objects, snapshots } from '../schema.ts'

/** Rows of one INSERT … FROM json_each: a statement of about 1 MB. */
const CHUNK = 5_000

const DUE = `SELECT r.id, r.host, h.name, r.vault, v.retention_floor_days FROM repositories r
  JOIN hosts h ON h.id = r.host JOIN vaults v ON v.id = r.vault WHERE r.state = 'ready'`

/** Nobody reads it: no restore or browse of it waits or runs. */
const UNREAD = `NOT EXISTS (SELECT 1 FROM jobs j WHERE j.state <> 'finished' AND j.kind IN ('restore', 'browse')
  AND j.parameters_json ->> 'snapshot' = snapshots.id)`

function chunks<T>(list: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(list.length / CHUNK) }, (_, n) =>
    list.slice(n * CHUNK, (n + 1) * CHUNK),
  )
}

export function createSnapshotsStore(database: Database): SnapshotsStore {
  const { orm } = database
  async function due(condition: string, args: (string | number)[]): Promise<RepositoryDue[]> {
    const { rows } = await database.read(`${DUE} ${condition}`, args)
    return rows.map((row) => ({
      id: String(row.id),
      host: String(row.host),
      hostName: String(row.name),
      vault: String(row.vault),
      retentionFloorDays: Number(row.retention_floor_days),
    }))
  }
  async function set(repository: string, column: string, value: number): Promise<void> {
    await database.write([
      { sql: `UPDATE repositories SET ${column} = ? WHERE id = ?`, args: [value, repository] },
    ])
  }
  return {
    toJudge: (before, limit) =>
      due(
        `AND (r.judged_at IS NULL OR r.judged_at <= ? OR EXISTS (SELECT 1 FROM snapshots s
           WHERE s.repository = r.id AND s.state = 'present' AND s.received_at >= r.judged_at)) ORDER BY r.judged_at LIMIT ?`,
        [before, limit],
      ),
    toReconcile: (before, limit) =>
      due(
        'AND (r.reconciled_at IS NULL OR r.reconciled_at <= ?) ORDER BY r.reconciled_at LIMIT ?',
        [before, limit],
      ),
    ofHost: async (host) => (await due('AND r.host = ?', [host]))[0],
    judged: (repository, at) => set(repository, 'judged_at', at),
    async kept(repository) {
      const { rows } = await database.read(
        `SELECT s.id, s.source, s.time, s.received_at, s.policy_name, s.held_at, s.is_foreign, s.claimed_at, s.outcome,
           COALESCE(s.tags_json, j.parameters_json -> 'tags') AS tags
         FROM snapshots s LEFT JOIN jobs j ON j.id = s.job WHERE s.repository = ? AND s.state = 'present'`,
        [repository],
      )
      return rows.map((row) => ({
        id: String(row.id),
        source: String(row.source),
        time: Number(row.time),
        receivedAt: Number(row.received_at),
        tags: row.tags === null ? [] : (JSON.parse(String(row.tags)) as string[]),
        claimedBy:
          row.claimed_at === null || row.policy_name === null ? null : String(row.policy_name),
        held: row.held_at !== null,
        unclaimed: row.is_foreign === 1 && row.claimed_at === null,
        succeeded: row.outcome === 'succeeded',
      }))
    },
    beginForgetting: (id, least, at, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE snapshots SET state = 'forgetting', state_at = ? WHERE id = ? AND state = 'present'
                AND held_at IS NULL AND (is_foreign = 0 OR claimed_at IS NOT NULL) AND ${UNREAD}
                AND (SELECT COUNT(*) FROM snapshots o WHERE o.repository = snapshots.repository
                  AND o.source = snapshots.source AND o.state = 'present' AND o.id <> snapshots.id) >= ?`,
          args: [at, id, least],
        },
      }),
    async forgetting(limit) {
      const { rows } = await database.read(
        `SELECT s.id, s.repository, s.host, r.vault FROM snapshots s JOIN repositories r ON r.id = s.repository
         WHERE s.state = 'forgetting' ORDER BY s.state_at LIMIT ?`,
        [limit],
      )
      return rows.map((row) => ({
        id: String(row.id),
        repository: String(row.repository),
        host: String(row.host),
        vault: String(row.vault),
      }))
    },
    forgotten: (id, at, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE snapshots SET state = 'forgotten', state_at = ? WHERE id = ? AND state = 'forgetting'`,
          args: [at, id],
        },
      }),
    hold: (id, by, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE snapshots SET held_at = ?, held_by = ?, held_why = ? WHERE id = ? AND state = 'present'
                AND held_at IS NULL`,
          args: [by.at, by.actor, by.why, id],
        },
      }),
    release: (id, trace) =>
      change(database, trace, {
        guard: {
          sql: 'UPDATE snapshots SET held_at = NULL, held_by = NULL, held_why = NULL WHERE id = ? AND held_at IS NOT NULL',
          args: [id],
        },
      }),
    claim: (id, policy, at, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE snapshots SET claimed_at = ?, policy_name = ? WHERE id = ? AND state = 'present'
                AND is_foreign = 1 AND claimed_at IS NULL`,
          args: [at, policy, id],
        },
      }),
    async present(repository) {
      const rows = await orm
        .select({ id: snapshots.id, state: snapshots.state, receivedAt: snapshots.receivedAt })
        .from(snapshots)
        .where(
          and(
            eq(snapshots.repository, repository),
            inArray(snapshots.state, ['present', 'forgetting']),
          ),
        )
      return new Map(rows.map(({ id, ...row }) => [id, row]))
    },
    vanished: (repository, ids, at, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE repositories SET reconciled_at = reconciled_at WHERE id = ? AND EXISTS (SELECT 1 FROM snapshots s
                WHERE s.repository = repositories.id AND s.state = 'present' AND s.id IN (SELECT value FROM json_each(?)))`,
          args: [repository, JSON.stringify(ids)],
        },
        then: [
          {
            sql: `UPDATE snapshots SET state = 'vanished', state_at = ? WHERE repository = ? AND state = 'present'
                  AND id IN (SELECT value FROM json_each(?)) AND GATE`,
            args: [at, repository, JSON.stringify(ids)],
          },
        ],
      }),
    originals: (repository, ids) =>
      orm
        .select({ id: snapshots.id, job: snapshots.job, tree: snapshots.tree })
        .from(snapshots)
        .where(and(eq(snapshots.repository, repository), inArray(snapshots.id, [...ids]))),
    enter: (repository, found, at, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE repositories SET unknown_snapshots = 0 WHERE id = ? AND state = 'ready'`,
          args: [repository],
        },
        then: [
          {
            // A copy with the very tree of a known snapshot is that snapshot with other tags; anything else is foreign.
            sql: `INSERT INTO snapshots (id, repository, host, source, job, tree, time, received_at, parent, counts_json,
                    receipt_json, signature, outcome, policy_name, is_foreign, claimed_at, original, hostname, tags_json,
                    held_at, held_by, held_why)
                  SELECT value ->> 'id', r.id, r.host, COALESCE(o.source, value ->> 'source'), o.job, value ->> 'tree',
                    value ->> 'time', COALESCE(o.received_at, ?), COALESCE(o.parent, value ->> 'parent'), o.counts_json,
                    o.receipt_json, o.signature, o.outcome, o.policy_name, COALESCE(o.is_foreign, 1), o.claimed_at,
                    value ->> 'original', value ->> 'hostname', value -> 'tags', o.held_at, o.held_by, o.held_why
                  FROM json_each(?) JOIN repositories r ON r.id = ?
                  LEFT JOIN snapshots o ON o.id = value ->> 'original' AND o.repository = r.id AND o.tree = value ->> 'tree'
                  WHERE GATE
                  ON CONFLICT (id) DO UPDATE SET state = 'present', state_at = ?,
                    -- forgotten by us and there again: somebody wants it
                    is_foreign = CASE WHEN snapshots.state = 'forgotten' THEN 1 ELSE snapshots.is_foreign END,
                    claimed_at = CASE WHEN snapshots.state = 'forgotten' THEN NULL ELSE snapshots.claimed_at END
                  WHERE snapshots.state IN ('forgotten', 'vanished') AND snapshots.repository = excluded.repository`,
            args: [at, JSON.stringify(found), repository, at],
          },
        ],
      }),
    setUnknown: (repository, count) => set(repository, 'unknown_snapshots', count),
    reconciled: (repository, at) => set(repository, 'reconciled_at', at),
    async objects(repository) {
      const rows = await orm
        .select({
          id: objects.id,
          what: objects.what,
          bytes: objects.bytes,
          storedAt: objects.storedAt,
        })
        .from(objects)
        .where(eq(objects.repository, repository))
      return new Map(rows.map(({ id, ...row }) => [id, row]))
    },
    correctObjects: (repository, gone, added, at, trace) =>
      change(database, trace, {
        guard: { sql: 'UPDATE repositories SET epoch = epoch WHERE id = ?', args: [repository] },
        then: [
          ...chunks(gone).map((some) => ({
            sql: `DELETE FROM objects WHERE repository = ? AND id IN (SELECT value FROM json_each(?)) AND GATE`,
            args: [repository, JSON.stringify(some)],
          })),
          // A pack that somebody else deleted waits for no deletion of ours.
          ...chunks(gone).map((some) => ({
            sql: `UPDATE condemned SET state = 'deleted', deleted_at = ? WHERE repository = ? AND state = 'condemned'
                  AND id IN (SELECT value FROM json_each(?)) AND GATE`,
            args: [at, repository, JSON.stringify(some)],
          })),
          ...chunks(added).map((some) => ({
            sql: `INSERT INTO objects (repository, id, what, type, bytes, job, stored_at)
                  SELECT ?, value ->> 'id', value ->> 'what', value ->> 'type', value ->> 'bytes', value ->> 'job', ?
                  FROM json_each(?) WHERE GATE ON CONFLICT (repository, id) DO NOTHING`,
            args: [repository, at, JSON.stringify(some)],
          })),
        ],
      }),
  }
}
