// Repositories in libSQL.
import { asc, eq } from 'drizzle-orm'
import type { Escrow, RepositoriesStore } from '../../../ports/store/repositories.ts'
import { change, type Statement } from '../change.ts'
import type { Database } from '../client.ts'
import { escrows, repositories } from '../schema.ts'

const columns = {
  id: repositories.id,
  host: repositories.host,
  vault: repositories.vault,
  place: repositories.place,
  state: repositories.state,
  epoch: repositories.epoch,
  configSha256: repositories.configSha256,
  initial: repositories.initial,
}

function keepEscrow(repository: string, escrow: Escrow, at: number): Statement[] {
  return [
    {
      sql: `INSERT INTO escrows (repository, n, recipient, sealed, at) SELECT ?, ?, ?, ?, ? WHERE GATE`,
      args: [repository, escrow.n, escrow.recipient, escrow.sealed, at],
    },
    {
      sql: `UPDATE hosts SET recovery_recipient = ? WHERE recovery_recipient IS NULL
            AND id = (SELECT host FROM repositories WHERE id = ?) AND GATE`,
      args: [escrow.recipient, repository],
    },
  ]
}

export function createRepositoriesStore(database: Database): RepositoriesStore {
  const { orm } = database
  return {
    async find(id) {
      const [row] = await orm.select(columns).from(repositories).where(eq(repositories.id, id))
      return row
    },
    begin: (repository, files, escrow, at, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE repositories SET state = 'initialising', config_sha256 = ?, initial_json = ?
                WHERE id = ? AND state = 'absent'`,
          args: [
            files.configSha256,
            JSON.stringify({ config: files.config, keys: files.keys }),
            repository,
          ],
        },
        then: keepEscrow(repository, escrow, at),
      }),
    adopt: (repository, { vault, place }, files, escrow, now, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE repositories SET state = 'initialising', vault = ?, place = ?, config_sha256 = ?,
                  initial_json = ?, reconciled_at = NULL, judged_at = NULL
                WHERE id = ? AND place IS NULL
                AND (state = 'absent' OR (state = 'ready'
                  AND NOT EXISTS (SELECT 1 FROM snapshots WHERE snapshots.repository = repositories.id)))
                AND NOT EXISTS (SELECT 1 FROM repositories other WHERE other.vault = ? AND other.place = ?)`,
          args: [
            vault,
            place,
            files.configSha256,
            JSON.stringify({ config: files.config, keys: files.keys }),
            repository,
            vault,
            place,
          ],
        },
        // What the empty one before it had stored is not in this one.
        then: [
          { sql: 'DELETE FROM objects WHERE repository = ? AND GATE', args: [repository] },
          ...keepEscrow(repository, escrow, now),
        ],
      }),
    escrows: (repository) =>
      orm
        .select({ n: escrows.n, recipient: escrows.recipient, sealed: escrows.sealed })
        .from(escrows)
        .where(eq(escrows.repository, repository))
        .orderBy(asc(escrows.n)),
    ready: (repository, at, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE repositories SET state = 'ready', ready_at = ?, initial_json = NULL
                WHERE id = ? AND state = 'initialising'`,
          args: [at, repository],
        },
      }),
    initialising: () =>
      orm.select(columns).from(repositories).where(eq(repositories.state, 'initialising')),
  }
}
