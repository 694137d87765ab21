// Repositories in libSQL.
import { asc, eq } from 'drizzle-orm'
import type { RepositoriesStore } from '../../../ports/store/repositories.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { escrows, repositories } from '../schema.ts'

const columns = {
  id: repositories.id,
  host: repositories.host,
  vault: repositories.vault,
  state: repositories.state,
  epoch: repositories.epoch,
  configSha256: repositories.configSha256,
  initial: repositories.initial,
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
        then: [
          {
            sql: `INSERT INTO escrows (repository, n, recipient, sealed, at) SELECT ?, ?, ?, ?, ? WHERE GATE`,
            args: [repository, escrow.n, escrow.recipient, escrow.sealed, at],
          },
          {
            sql: `UPDATE hosts SET recovery_recipient = ? WHERE recovery_recipient IS NULL
                  AND id = (SELECT host FROM repositories WHERE id = ?) AND GATE`,
            args: [escrow.recipient, repository],
          },
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
