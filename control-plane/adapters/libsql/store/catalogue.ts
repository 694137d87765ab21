import { and, asc, desc, eq, gte, like, lt, or, sql } from 'drizzle-orm'
import type { VolumeDefinition } from '../../../../shared/backup/job.ts'
import type { CatalogueStore } from '../../../ports/store/catalogue.ts'
import type { Database } from '../client.ts'
import { escrows, hosts, objects, repositories, snapshots, vaults } from '../schema.ts'

const snapshotColumns = {
  id: snapshots.id,
  repository: snapshots.repository,
  host: snapshots.host,
  hostName: hosts.name,
  source: snapshots.source,
  job: snapshots.job,
  tree: snapshots.tree,
  time: snapshots.time,
  receivedAt: snapshots.receivedAt,
  parent: snapshots.parent,
  counts: snapshots.counts,
  outcome: snapshots.outcome,
  policyName: snapshots.policyName,
  state: snapshots.state,
  isForeign: snapshots.isForeign,
  heldAt: snapshots.heldAt,
  heldBy: snapshots.heldBy,
  heldWhy: snapshots.heldWhy,
  // A receipt may name half a million packs: only the definition is taken out of it.
  volume: sql<VolumeDefinition | null>`json_extract(${snapshots.receipt}, '$.volume')`.mapWith(
    (text: string) => JSON.parse(text) as VolumeDefinition,
  ),
}

const repositoryColumns = {
  id: repositories.id,
  host: repositories.host,
  hostName: hosts.name,
  vault: repositories.vault,
  vaultName: vaults.name,
  place: vaults.place,
  adoptedAt: repositories.place,
  capabilities: vaults.capabilities,
  state: repositories.state,
  createdAt: repositories.createdAt,
  readyAt: repositories.readyAt,
  snapshots: sql<number>`(SELECT COUNT(*) FROM ${snapshots} WHERE ${snapshots.repository} = ${repositories.id} AND ${snapshots.state} = 'present')`,
  bytes: sql<number>`(SELECT COALESCE(SUM(${objects.bytes}), 0) FROM ${objects} WHERE ${objects.repository} = ${repositories.id})`,
}

export function createCatalogueStore(database: Database): CatalogueStore {
  const selectSnapshots = () =>
    database.orm
      .select(snapshotColumns)
      .from(snapshots)
      .innerJoin(hosts, eq(hosts.id, snapshots.host))
  const selectRepositories = () =>
    database.orm
      .select(repositoryColumns)
      .from(repositories)
      .innerJoin(hosts, eq(hosts.id, repositories.host))
      .innerJoin(vaults, eq(vaults.id, repositories.vault))
  return {
    async snapshots({ gone, host, source, since, until, after, limit }) {
      return selectSnapshots()
        .where(
          and(
            gone ? undefined : eq(snapshots.state, 'present'),
            host === undefined ? undefined : eq(snapshots.host, host),
            source === undefined ? undefined : eq(snapshots.source, source),
            since === undefined ? undefined : gte(snapshots.time, since),
            until === undefined ? undefined : lt(snapshots.time, until),
            after === undefined
              ? undefined
              : or(
                  lt(snapshots.time, after.time),
                  and(eq(snapshots.time, after.time), lt(snapshots.id, after.id)),
                ),
          ),
        )
        .orderBy(desc(snapshots.time), desc(snapshots.id))
        .limit(limit)
    },

    // Ids are lower-case hex, so that the prefix holds no wildcard.
    snapshotsByPrefix: async (prefix) =>
      selectSnapshots()
        .where(like(snapshots.id, `${prefix}%`))
        .limit(2),

    repositories: async () => selectRepositories().orderBy(asc(hosts.name)),

    async repository(idOrHost) {
      const rows = await selectRepositories().where(
        or(
          eq(repositories.id, idOrHost),
          eq(repositories.host, idOrHost),
          eq(hosts.name, idOrHost),
        ),
      )
      return rows[0]
    },

    escrows: async (repository) =>
      database.orm
        .select({
          n: escrows.n,
          recipient: escrows.recipient,
          sealed: escrows.sealed,
          at: escrows.at,
        })
        .from(escrows)
        .where(eq(escrows.repository, repository))
        .orderBy(asc(escrows.n)),
  }
}
