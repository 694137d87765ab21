import { and, asc, eq, isNull, or, sql } from 'drizzle-orm'
import type { FleetStore } from '../../../ports/store/fleet.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { hosts, repositories, snapshots, sources, vaults } from '../schema.ts'

const hostColumns = {
  id: hosts.id,
  name: hosts.name,
  version: hosts.version,
  enrolledAt: hosts.enrolledAt,
  lastSeen: hosts.lastSeen,
  silentSince: hosts.silentSince,
  recoveryRecipient: hosts.recoveryRecipient,
  recipient: hosts.recipient,
  publicKey: hosts.publicKey,
  inventoryAt: hosts.inventoryAt,
  engine: sql<string | null>`json_extract(${hosts.inventory}, '$.engine.version')`,
  repository: repositories.id,
  repositoryState: repositories.state,
  vault: vaults.name,
  sources: sql<number>`(SELECT COUNT(*) FROM ${sources} WHERE ${sources.host} = ${hosts.id} AND ${sources.goneAt} IS NULL)`,
}

export function createFleetStore(database: Database): FleetStore {
  const select = () =>
    database.orm
      .select(hostColumns)
      .from(hosts)
      .innerJoin(repositories, eq(repositories.host, hosts.id))
      .innerJoin(vaults, eq(vaults.id, repositories.vault))
  return {
    hosts: async () => select().where(isNull(hosts.removedAt)).orderBy(asc(hosts.name)),

    async host(idOrName) {
      const rows = await select().where(
        and(isNull(hosts.removedAt), or(eq(hosts.id, idOrName), eq(hosts.name, idOrName))),
      )
      return rows[0]
    },

    async sources(filter) {
      const rows = await database.orm
        .select({
          host: sources.host,
          hostName: hosts.name,
          hostLastSeen: hosts.lastSeen,
          repository: repositories.id,
          source: sources.source,
          kind: sources.kind,
          name: sources.name,
          details: sources.details,
          firstSeen: sources.firstSeen,
          lastSeen: sources.lastSeen,
          goneAt: sources.goneAt,
          snapshotAt: sql<
            number | null
          >`(SELECT MAX(${snapshots.time}) FROM ${snapshots} WHERE ${snapshots.host} = ${sources.host} AND ${snapshots.source} = ${sources.source} AND ${snapshots.state} = 'present')`,
        })
        .from(sources)
        .innerJoin(hosts, eq(hosts.id, sources.host))
        .innerJoin(repositories, eq(repositories.host, sources.host))
        .where(
          and(
            isNull(hosts.removedAt),
            filter.gone ? undefined : isNull(sources.goneAt),
            filter.host === undefined ? undefined : eq(sources.host, filter.host),
          ),
        )
        .orderBy(asc(hosts.name), asc(sources.source))
      return rows.map(({ details, ...row }) => ({
        ...row,
        driver: details.driver ?? null,
        labels: details.labels ?? {},
        project: details.project ?? null,
        service: details.service ?? null,
        anonymous: details.anonymous ?? false,
        unsupported: details.unsupported ?? null,
        usedBy: details.usedBy ?? [],
      }))
    },

    removeHost: (id, at, trace) =>
      change(database, trace, {
        guard: {
          // Name and key become free, for the same machine to enrol again.
          sql: `UPDATE hosts SET removed_at = ?, name = name || '~' || id, public_key = public_key || '~' || id
                WHERE id = ? AND removed_at IS NULL
                AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.host = hosts.id AND jobs.state = 'running')`,
          args: [at, id],
        },
        then: [
          { sql: 'DELETE FROM agent_sessions WHERE host = ? AND GATE', args: [id] },
          {
            sql: `UPDATE jobs SET state = 'finished', outcome = 'cancelled', reason = 'cancelled-by-person',
                  message = 'the host was removed', finished_at = ? WHERE host = ? AND state = 'queued' AND GATE`,
            args: [at, id],
          },
        ],
      }),
  }
}
