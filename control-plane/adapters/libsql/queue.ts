// The queue in the database's own table: sent in the batch of the change that caused it, received by polling.
import type { Clock, Random } from '../../../shared/clock.ts'
import { newId } from '../../../shared/ids.ts'
import type { Queue } from '../../ports/queue.ts'
import type { Database } from './client.ts'

export function createQueue(
  database: Database,
  deps: { readonly clock: Clock; readonly random: Random },
): Queue {
  const { clock } = deps
  return {
    async send(topic, body, delayMs) {
      const now = clock.now()
      await database.write([
        {
          sql: `INSERT INTO queue (id, topic, body, visible_at, created_at) VALUES (?, ?, ?, ?, ?)`,
          args: [newId(clock, deps.random), topic, body, now + delayMs, now],
        },
      ])
    },

    // Hiding and counting is one statement: no two receivers get the same attempt.
    async receive(topic, limit, visibilityMs) {
      const now = clock.now()
      // Polls find nothing most of the time: look before asking for the write lock.
      const { rows } = await database.read(
        `SELECT 1 FROM queue WHERE topic = ? AND visible_at <= ? LIMIT 1`,
        [topic, now],
      )
      if (rows.length === 0) return []
      const [result] = await database.write([
        {
          sql: `UPDATE queue SET attempt = attempt + 1, visible_at = ?
                WHERE id IN (SELECT id FROM queue WHERE topic = ? AND visible_at <= ? ORDER BY visible_at, id LIMIT ?)
                RETURNING id, topic, body, attempt`,
          args: [now + visibilityMs, topic, now, limit],
        },
      ])
      return (result?.rows ?? []).map((row) => ({
        id: String(row.id),
        topic: String(row.topic),
        body: String(row.body),
        attempt: Number(row.attempt),
      }))
    },

    // The attempt tells whether the message is still ours: somebody else's has a higher one.
    async acknowledge({ id, attempt }) {
      await database.write([
        { sql: `DELETE FROM queue WHERE id = ? AND attempt = ?`, args: [id, attempt] },
      ])
    },

    async postpone({ id, attempt }, delayMs) {
      await database.write([
        {
          sql: `UPDATE queue SET visible_at = ? WHERE id = ? AND attempt = ?`,
          args: [clock.now() + delayMs, id, attempt],
        },
      ])
    },
  }
}
