// One libSQL client per process, with writes in single file.
import {
  type Client,
  createClient,
  type InArgs,
  type InStatement,
  type ResultSet,
} from '@libsql/client'
import { migrations } from './migrations.ts'
import { createReader, type Reader } from './reader.ts'

/** The part of libSQL's client the adapter uses. There is no interactive transaction in it. */
export interface Database {
  /** Typed reads (drizzle over `schema.ts`); anything but a SELECT throws. */
  readonly orm: Reader
  /** One statement that only reads. */
  read(sql: string, args?: InArgs): Promise<ResultSet>
  /** All statements or none, in order, alone among writers. */
  write(statements: readonly InStatement[]): Promise<ResultSet[]>
  close(): void
}

/** How long a statement waits for another process's write lock, in ms. */
const BUSY_TIMEOUT = 5_000

/**
 * Opens `url` (`file:…`, `:memory:` is not shared between connections and so refused, or an sqld URL)
 * and brings its schema up to date.
 *
 * The native binding is synchronous: two writers of one process would freeze the event loop until the
 * busy time-out. So writes queue here; reads go ahead beside them (WAL).
 */
export async function openDatabase(options: {
  url: string
  authToken?: string
}): Promise<Database> {
  const client: Client = createClient({
    url: options.url,
    timeout: BUSY_TIMEOUT,
    ...(options.authToken === undefined ? {} : { authToken: options.authToken }),
  })
  if (options.url.startsWith('file:')) {
    await client.execute('PRAGMA journal_mode=WAL')
    await client.execute('PRAGMA synchronous=FULL')
  }
  let last: Promise<unknown> = Promise.resolve()
  const database: Database = {
    orm: createReader(client),
    read: (sql, args) => client.execute(args === undefined ? sql : { sql, args }),
    write: (statements) => {
      const turn = last.then(() => client.batch([...statements], 'write'))
      last = turn.catch(() => undefined)
      return turn
    },
    close: () => client.close(),
  }
  await migrate(database)
  return database
}

/** Each migration in one batch with its version: it happened whole, or not at all. */
async function migrate(database: Database): Promise<void> {
  await database.write([
    'CREATE TABLE IF NOT EXISTS schema_versions (version INTEGER PRIMARY KEY, at TEXT NOT NULL) STRICT',
  ])
  const done = await database.read(
    'SELECT COALESCE(MAX(version), 0) AS version FROM schema_versions',
  )
  const current = Number(done.rows[0]?.version ?? 0)
  const newest = migrations.at(-1)?.version ?? 0
  if (current > newest) {
    throw new Error(
      `the database has schema ${current}, this program knows ${newest}: run a newer Holdfast`,
    )
  }
  for (const migration of migrations) {
    if (migration.version <= current) continue
    await database.write([
      ...migration.statements,
      {
        sql: "INSERT INTO schema_versions (version, at) VALUES (?, datetime('now'))",
        args: [migration.version],
      },
    ])
  }
}
