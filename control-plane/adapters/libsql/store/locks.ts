// Locks in libSQL.
import { and, eq } from 'drizzle-orm'
import type { LocksStore } from '../../../ports/store/locks.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { batches, locks } from '../schema.ts'

const columns = {
  repository: locks.repository,
  id: locks.id,
  batch: locks.batch,
  host: batches.host,
}

export function createLocksStore(database: Database): LocksStore {
  const { orm } = database
  const select = () =>
    orm.select(columns).from(locks).innerJoin(batches, eq(batches.id, locks.batch))
  return {
    async add(lock, at, trace) {
      const added = await change(database, trace, {
        guard: {
          sql: `INSERT INTO locks (repository, id, batch, at) VALUES (?, ?, ?, ?)
                ON CONFLICT (repository, id) DO NOTHING`,
          args: [lock.repository, lock.id, lock.batch, at],
        },
      })
      if (added) return true
      const [row] = await select().where(
        and(eq(locks.repository, lock.repository), eq(locks.id, lock.id)),
      )
      return row?.batch === lock.batch
    },
    async find(repository, id) {
      const [row] = await select().where(and(eq(locks.repository, repository), eq(locks.id, id)))
      return row
    },
    ofBatch: (batch) => select().where(eq(locks.batch, batch)),
    forget: (repository, id, trace) =>
      change(database, trace, {
        guard: {
          sql: 'DELETE FROM locks WHERE repository = ? AND id = ?',
          args: [repository, id],
        },
      }),
    async abandoned(before) {
      const { rows } = await database.read(
        `SELECT l.repository, l.id, l.batch, b.host FROM locks l JOIN batches b ON b.id = l.batch
         WHERE l.at <= ? AND (b.ended_at <= ? OR (b.ended_at IS NULL AND NOT EXISTS (
           SELECT 1 FROM jobs j WHERE j.batch = b.id AND j.state = 'running' AND j.lease_until > ?)))
         ORDER BY l.at LIMIT 500`,
        [before, before, before],
      )
      return rows.map((row) => ({
        repository: String(row.repository),
        id: String(row.id),
        batch: String(row.batch),
        host: String(row.host),
      }))
    },
  }
}
