import { and, asc, desc, eq, lt, or } from 'drizzle-orm'
import type { ChannelKind, ChannelSettings } from '../../../../shared/alert/channel.ts'
import type { AlertsStore, Channel } from '../../../ports/store/alerts.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { alertChannels, alerts, deliveries } from '../schema.ts'
import { unlessTaken } from './constraint.ts'

const deliveryColumns = {
  id: deliveries.id,
  alert: alerts.alert,
  channel: deliveries.channel,
  channelName: deliveries.channelName,
  state: deliveries.state,
  attempts: deliveries.attempts,
  nextAt: deliveries.nextAt,
  lastError: deliveries.lastError,
  deliveredAt: deliveries.deliveredAt,
  createdAt: deliveries.createdAt,
}

export function createAlertsStore(database: Database): AlertsStore {
  const known = () =>
    database.orm
      .select(deliveryColumns)
      .from(deliveries)
      .innerJoin(alerts, eq(alerts.id, deliveries.alert))

  return {
    async channels() {
      const rows = await database.orm.select().from(alertChannels).orderBy(asc(alertChannels.name))
      return rows.map(channelOf)
    },

    async channel(idOrName) {
      const rows = await database.orm
        .select()
        .from(alertChannels)
        .where(or(eq(alertChannels.id, idOrName), eq(alertChannels.name, idOrName)))
      const row = rows.find(({ id }) => id === idOrName) ?? rows[0]
      return row === undefined ? undefined : channelOf(row)
    },

    insertChannel: (channel, trace) =>
      unlessTaken(
        change(database, trace, {
          guard: {
            sql: `INSERT INTO alert_channels (id, name, kind, settings_json, secret_sealed, minimum_level, created_at)
                  VALUES (?, ?, ?, ?, ?, ?, ?)`,
            args: [
              channel.id,
              channel.name,
              channel.kind,
              JSON.stringify(channel.settings),
              channel.secretSealed,
              channel.minimumLevel,
              channel.createdAt,
            ],
          },
        }),
      ),

    removeChannel: (id, trace) =>
      change(database, trace, {
        guard: { sql: `DELETE FROM alert_channels WHERE id = ?`, args: [id] },
      }),

    disableChannel: (id, at, why, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE alert_channels SET disabled_at = ?, disabled_why = ? WHERE id = ? AND disabled_at IS NULL`,
          args: [at, why, id],
        },
      }),

    insertAlert: (alert, wanted, at, trace) =>
      unlessTaken(
        change(database, trace, {
          guard: {
            sql: `INSERT INTO alerts (id, type, level, host, job, at, alert_json) VALUES (?, ?, ?, ?, ?, ?, ?)`,
            args: [
              alert.id,
              alert.alert_type,
              alert.level,
              alert.hostname,
              alert.job ?? null,
              Date.parse(alert.timestamp),
              JSON.stringify(alert),
            ],
          },
          then: wanted.map(({ id, channel, channelName }) => ({
            sql: `INSERT INTO deliveries (id, alert, channel, channel_name, state, attempts, next_at, created_at)
                  SELECT ?, ?, ?, ?, 'pending', 0, ?, ? WHERE GATE`,
            args: [id, alert.id, channel, channelName, at, at],
          })),
        }),
      ),

    async delivery(id) {
      return (await known().where(eq(deliveries.id, id)))[0]
    },

    async deliveries(filter) {
      return (
        known()
          .where(
            and(
              filter.state === undefined ? undefined : eq(deliveries.state, filter.state),
              filter.channel === undefined ? undefined : eq(deliveries.channelName, filter.channel),
              filter.alert === undefined ? undefined : eq(deliveries.alert, filter.alert),
              filter.host === undefined ? undefined : eq(alerts.host, filter.host),
              filter.after === undefined ? undefined : lt(deliveries.id, filter.after),
            ),
          )
          // Ids sort by the time they were made.
          .orderBy(desc(deliveries.id))
          .limit(filter.limit)
      )
    },

    async noteAttempt(id, { attempts, error, nextAt }) {
      await database.write([
        {
          sql: `UPDATE deliveries SET attempts = ?, last_error = ?, next_at = ? WHERE id = ? AND state = 'pending'`,
          args: [attempts, error, nextAt, id],
        },
      ])
    },

    finishDelivery: (id, { state, attempts, error, at }, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE deliveries SET state = ?, attempts = ?, last_error = ?, next_at = NULL, delivered_at = ?
                WHERE id = ? AND state = 'pending'`,
          args: [state, attempts, error, state === 'delivered' ? at : null, id],
        },
      }),
  }
}

function channelOf(row: typeof alertChannels.$inferSelect): Channel {
  return {
    id: row.id,
    name: row.name,
    kind: row.kind as ChannelKind,
    settings: row.settings as ChannelSettings,
    secretSealed: row.secretSealed ?? '',
    minimumLevel: row.minimumLevel,
    createdAt: row.createdAt,
    disabledAt: row.disabledAt,
    disabledWhy: row.disabledWhy,
  }
}
