// Grants and the catalogue of objects in libSQL.
import { and, eq, gte, inArray } from 'drizzle-orm'
import type { GrantsStore } from '../../../ports/store/grants.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { objects } from '../schema.ts'

/** Rows of one INSERT … FROM json_each: a statement of about 200 KB. */
const CHUNK = 1_000

export function createGrantsStore(database: Database): GrantsStore {
  return {
    async release(batch, repository, ids, at) {
      if (ids.length === 0) return
      const list = JSON.stringify(ids)
      await database.write([
        {
          sql: `INSERT INTO objects (repository, id, what, type, bytes, job, stored_at)
                SELECT ?, object, what, type, bytes, job, ? FROM grants
                WHERE batch = ? AND method = 'PUT' AND state = 'outstanding'
                AND object IN (SELECT value FROM json_each(?))
                ON CONFLICT (repository, id) DO NOTHING`,
          args: [repository, at, batch, list],
        },
        {
          sql: `UPDATE grants SET state = 'used' WHERE batch = ? AND method = 'PUT'
                AND object IN (SELECT value FROM json_each(?))`,
          args: [batch, list],
        },
      ])
    },
    reserve: (wanted, trace) => {
      const { batch, job, attempt, puts, until, now, maxCount, maxBytes } = wanted
      const ids = JSON.stringify(puts.map(({ id }) => id))
      const bytes = puts.reduce((sum, put) => sum + put.bytes, 0)
      const others = (
        what: string,
      ) => `(SELECT ${what} FROM grants WHERE batch = batches.id AND method = 'PUT'
        AND state = 'outstanding' AND expires_at > ? AND object NOT IN (SELECT value FROM json_each(?)))`
      return change(database, trace, {
        guard: {
          sql: `UPDATE batches SET urls_until = MAX(urls_until, ?) WHERE id = ? AND ended_at IS NULL
                AND ${others('COUNT(*)')} + ? <= ?
                AND (${others('COALESCE(SUM(bytes), 0)')} + ? <= ?
                  OR (? = 1 AND ${others('COUNT(*)')} = 0))`,
          args: [
            puts.length === 0 ? 0 : until,
            batch,
            now,
            ids,
            puts.length,
            maxCount,
            now,
            ids,
            bytes,
            maxBytes,
            puts.length,
            now,
            ids,
          ],
        },
        then: puts.map((put) => ({
          sql: `INSERT INTO grants (batch, method, object, job, attempt, what, type, bytes, expires_at, state)
                SELECT ?, 'PUT', ?, ?, ?, ?, ?, ?, ?, 'outstanding' WHERE GATE
                -- While an older URL for it lives, it counts with the larger of both sizes.
                ON CONFLICT (batch, method, object) DO UPDATE SET
                  bytes = CASE WHEN state = 'outstanding' AND expires_at > ?
                    THEN MAX(bytes, excluded.bytes) ELSE excluded.bytes END,
                  job = excluded.job, attempt = excluded.attempt, expires_at = excluded.expires_at,
                  state = 'outstanding'`,
          args: [batch, put.id, job, attempt, put.what, put.type, put.bytes, until, now],
        })),
      })
    },
    known: (repository, ids) =>
      database.orm
        .select({ id: objects.id, what: objects.what, type: objects.type, bytes: objects.bytes })
        .from(objects)
        .where(and(eq(objects.repository, repository), inArray(objects.id, [...ids]))),
    async checked(repository, seen, at) {
      for (let from = 0; from < seen.length; from += CHUNK) {
        const rows = seen.slice(from, from + CHUNK)
        await database.write([
          {
            sql: `INSERT INTO objects (repository, id, what, type, bytes, job, stored_at, checked_at)
                  SELECT ?, json_extract(value, '$.id'), json_extract(value, '$.what'),
                    json_extract(value, '$.type'), json_extract(value, '$.bytes'),
                    json_extract(value, '$.job'), ?, ? FROM json_each(?) WHERE 1 = 1
                  ON CONFLICT (repository, id) DO UPDATE SET bytes = excluded.bytes,
                    checked_at = excluded.checked_at, type = COALESCE(objects.type, excluded.type)`,
            args: [repository, at, at, JSON.stringify(rows)],
          },
        ])
      }
    },
    async checkedSince(repository, since) {
      const rows = await database.orm
        .select({ id: objects.id, bytes: objects.bytes })
        .from(objects)
        .where(and(eq(objects.repository, repository), gte(objects.checkedAt, since)))
      return new Map(rows.map(({ id, bytes }) => [id, bytes]))
    },
    async forget(now) {
      await database.write([
        {
          sql: `DELETE FROM grants WHERE expires_at <= ?
                AND batch IN (SELECT id FROM batches WHERE ended_at IS NOT NULL)`,
          args: [now],
        },
      ])
    },
  }
}
