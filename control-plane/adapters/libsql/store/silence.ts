import { and, isNull, lt, sql } from 'drizzle-orm'
import type { SilenceStore } from '../../../ports/store/silence.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { hosts } from '../schema.ts'

const lastSign = sql<number>`COALESCE(${hosts.lastSeen}, ${hosts.enrolledAt})`

export function createSilenceStore(database: Database): SilenceStore {
  return {
    async quiet(before) {
      return database.orm
        .select({ id: hosts.id, name: hosts.name, lastSeen: lastSign })
        .from(hosts)
        .where(and(isNull(hosts.removedAt), isNull(hosts.silentSince), lt(lastSign, before)))
        .orderBy(hosts.name)
    },

    markSilent: (host, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE hosts SET silent_since = ? WHERE id = ? AND silent_since IS NULL AND removed_at IS NULL
                AND COALESCE(last_seen, enrolled_at) = ?`,
          args: [host.lastSeen, host.id, host.lastSeen],
        },
      }),
  }
}
