import { and, eq } from 'drizzle-orm'
import type { IdempotencyStore } from '../../../ports/store/idempotency.ts'
import type { Database } from '../client.ts'
import { idempotency } from '../schema.ts'

export function createIdempotencyStore(database: Database): IdempotencyStore {
  const write = async (sql: string, args: (string | number)[]) =>
    (await database.write([{ sql, args }]))[0]!.rowsAffected
  return {
    async claim(token, key, requestHash, at) {
      const claimed = await write(
        `INSERT OR IGNORE INTO idempotency (token, key, request_hash, at) VALUES (?, ?, ?, ?)`,
        [token, key, requestHash, at],
      )
      return claimed === 1
    },

    async find(token, key) {
      const rows = await database.orm
        .select({
          requestHash: idempotency.requestHash,
          status: idempotency.status,
          sealed: idempotency.answer,
          at: idempotency.at,
        })
        .from(idempotency)
        .where(and(eq(idempotency.token, token), eq(idempotency.key, key)))
      return rows[0]
    },

    async answer(token, key, status, sealed) {
      await write(`UPDATE idempotency SET status = ?, answer = ? WHERE token = ? AND key = ?`, [
        status,
        sealed,
        token,
        key,
      ])
    },

    async release(token, key) {
      await write(`DELETE FROM idempotency WHERE token = ? AND key = ? AND status IS NULL`, [
        token,
        key,
      ])
    },

    async forget(before) {
      await write(`DELETE FROM idempotency WHERE at < ?`, [before])
    },
  }
}
