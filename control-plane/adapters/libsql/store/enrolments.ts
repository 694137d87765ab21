// Enrolment in libSQL.
import { eq } from 'drizzle-orm'
import type { EnrolmentsStore } from '../../../ports/store/enrolments.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { enrolmentTokens } from '../schema.ts'

export function createEnrolmentsStore(database: Database): EnrolmentsStore {
  return {
    async findToken(id) {
      const [row] = await database.orm
        .select()
        .from(enrolmentTokens)
        .where(eq(enrolmentTokens.id, id))
      return row
    },
    enrol: (token, host, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE enrolment_tokens SET used_at = ?, host = ?
                WHERE id = ? AND used_at IS NULL AND expires_at > ?
                AND NOT EXISTS (SELECT 1 FROM hosts WHERE lower(name) = lower(?) OR public_key = ?)`,
          args: [host.enrolledAt, host.id, token, host.enrolledAt, host.name, host.publicKey],
        },
        // Not alive yet: `last_seen` stays empty until the first `alive` event.
        then: [
          {
            sql: `INSERT INTO hosts (id, name, machine, public_key, recovery_recipient, recipient, version, enrolled_at)
                  SELECT ?, ?, ?, ?, ?, ?, ?, ? WHERE GATE`,
            args: [
              host.id,
              host.name,
              host.machine,
              host.publicKey,
              host.recoveryRecipient,
              host.recipient,
              host.version,
              host.enrolledAt,
            ],
          },
          {
            sql: `INSERT INTO repositories (id, host, vault, state, created_at)
                  SELECT ?, ?, ?, 'absent', ? WHERE GATE`,
            args: [host.repository, host.id, host.vault, host.enrolledAt],
          },
        ],
      }),
  }
}
