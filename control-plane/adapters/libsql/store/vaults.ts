import { asc, eq, getTableColumns, or, sql } from 'drizzle-orm'
import type { Places } from '../../../../shared/vault/places.ts'
import type { VaultsStore } from '../../../ports/store/vaults.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { vaults } from '../schema.ts'
import { unlessTaken } from './constraint.ts'

const columns = {
  ...getTableColumns(vaults),
  // Spelled out: where one table is read, the columns of another lose its name.
  places: sql<Places>`(SELECT json_group_object(r.id, r.place) FROM repositories r
    WHERE r.vault = vaults.id AND r.place IS NOT NULL)`.mapWith(
    (text: string) => JSON.parse(text) as Places,
  ),
}

export function createVaultsStore(database: Database): VaultsStore {
  return {
    async find(idOrName) {
      const rows = await database.orm
        .select(columns)
        .from(vaults)
        .where(or(eq(vaults.id, idOrName), eq(vaults.name, idOrName)))
      // An id wins over a name that looks like one.
      return rows.find(({ id }) => id === idOrName) ?? rows[0]
    },

    list: async () => database.orm.select(columns).from(vaults).orderBy(asc(vaults.name)),

    insert: (vault, trace) =>
      unlessTaken(
        change(database, trace, {
          guard: {
            sql: `INSERT INTO vaults (id, name, place_json, credentials_sealed, is_default, created_at,
                    retention_floor_days)
                  SELECT ?, ?, ?, ?, NOT EXISTS (SELECT 1 FROM vaults WHERE is_default = 1), ?, ?`,
            args: [
              vault.id,
              vault.name,
              JSON.stringify(vault.place),
              vault.credentialsSealed,
              vault.createdAt,
              vault.retentionFloorDays,
            ],
          },
        }),
      ),

    setFloor: (id, days, trace) =>
      change(database, trace, {
        guard: {
          sql: 'UPDATE vaults SET retention_floor_days = ? WHERE id = ? AND retention_floor_days <> ?',
          args: [days, id, days],
        },
      }),

    setDefault: (id, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE vaults SET is_default = 1 WHERE id = ? AND is_default = 0`,
          args: [id],
        },
        then: [
          {
            sql: `UPDATE vaults SET is_default = 0 WHERE id <> ? AND is_default = 1 AND GATE`,
            args: [id],
          },
        ],
      }),

    recordProbe: (id, saw, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE vaults SET capabilities_json = ?, findings_json = ?, probed_at = ?,
                clock_skew_ms = COALESCE(?, clock_skew_ms), clock_checked_at = ? WHERE id = ?`,
          args: [
            JSON.stringify(saw.capabilities),
            JSON.stringify(saw.findings),
            saw.at,
            saw.capabilities.clockSkewMs,
            saw.at,
            id,
          ],
        },
      }),

    async recordClock(id, { skewMs, at, previous }, trace) {
      const guard = {
        sql: `UPDATE vaults SET clock_skew_ms = ?, clock_checked_at = ? WHERE id = ? AND clock_skew_ms IS ?`,
        args: [skewMs, at, id, previous],
      }
      if (trace !== undefined) return change(database, trace, { guard })
      const [result] = await database.write([guard])
      return result?.rowsAffected === 1
    },
  }
}
