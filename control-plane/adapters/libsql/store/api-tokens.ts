import { desc, eq } from 'drizzle-orm'
import type { ApiTokensStore } from '../../../ports/store/api-tokens.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { apiTokens } from '../schema.ts'

export function createApiTokensStore(database: Database): ApiTokensStore {
  return {
    async find(id) {
      const rows = await database.orm.select().from(apiTokens).where(eq(apiTokens.id, id))
      return rows[0]
    },

    async list() {
      return database.orm
        .select()
        .from(apiTokens)
        .orderBy(desc(apiTokens.createdAt), desc(apiTokens.id))
    },

    insert: (token, trace) =>
      change(database, trace, {
        guard: {
          sql: `INSERT INTO api_tokens (id, name, role, hash, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)`,
          args: [token.id, token.name, token.role, token.hash, token.createdAt, token.expiresAt],
        },
      }),

    revoke: (id, at, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE api_tokens SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL
                AND (role <> 'admin' OR EXISTS (
                  SELECT 1 FROM api_tokens other WHERE other.id <> ? AND other.role = 'admin'
                  AND other.revoked_at IS NULL AND (other.expires_at IS NULL OR other.expires_at > ?)))`,
          args: [at, id, id, at],
        },
      }),

    async touch(id, at, ifBefore) {
      await database.write([
        {
          sql: `UPDATE api_tokens SET last_used_at = ? WHERE id = ? AND (last_used_at IS NULL OR last_used_at < ?)`,
          args: [at, id, ifBefore],
        },
      ])
    },
  }
}
