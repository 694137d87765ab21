import { eq } from 'drizzle-orm'
import type { EnrolmentTokenIssue } from '../../../ports/store/enrolment-tokens.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { vaults } from '../schema.ts'

export function createEnrolmentTokenIssue(database: Database): EnrolmentTokenIssue {
  return {
    async findVault(name) {
      const rows = await database.orm
        .select({ id: vaults.id, name: vaults.name })
        .from(vaults)
        .where(name === undefined ? eq(vaults.isDefault, true) : eq(vaults.name, name))
        .limit(1)
      return rows[0]
    },

    insert: (token, trace) =>
      change(database, trace, {
        guard: {
          sql: `INSERT INTO enrolment_tokens (id, hash, vault, created_by, created_at, expires_at)
                SELECT ?, ?, vaults.id, ?, ?, ? FROM vaults WHERE vaults.id = ?`,
          args: [
            token.id,
            token.hash,
            token.createdBy,
            token.createdAt,
            token.expiresAt,
            token.vault,
          ],
        },
      }),
  }
}
