import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { eq, isNotNull, sql } from 'drizzle-orm'
import { getTableConfig, SQLiteTable } from 'drizzle-orm/sqlite-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Database, openDatabase } from './client.ts'
import * as schema from './schema.ts'

const directory = mkdtempSync(join(tmpdir(), 'holdfast-schema-'))
let database: Database
beforeAll(async () => {
  database = await openDatabase({ url: `file:${join(directory, 'a.db')}` })
})
afterAll(() => {
  database.close()
  rmSync(directory, { recursive: true })
})

const tables = Object.values(schema).filter((value) => value instanceof SQLiteTable)

/** As SQLite spells it: a text in quotes, a boolean as 0 or 1. */
function fallbackOf(value: unknown): string | null {
  if (value === undefined) return null
  if (typeof value === 'string') return `'${value}'`
  return String(typeof value === 'boolean' ? Number(value) : value)
}

describe('the typed schema', () => {
  it('knows every table of the database and no other', async () => {
    const { rows } = await database.read(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'schema_versions'",
    )
    const real = rows.map((row) => row.name).sort()
    expect(tables.map((table) => getTableConfig(table).name).sort()).toEqual(real)
  })

  it.each(tables.map((table) => [getTableConfig(table).name, table] as const))(
    'has the columns of %s with their types, keys and nulls',
    async (name, table) => {
      const { rows } = await database.read(`PRAGMA table_info(${name})`)
      const config = getTableConfig(table)
      const composite = config.primaryKeys.flatMap((key) => key.columns.map((c) => c.name))
      const ours = config.columns.map((column) => ({
        name: column.name,
        type: column.getSQLType().toUpperCase(),
        // SQLite's own flag is unset on a primary key that is not declared NOT NULL.
        required: column.notNull && !column.primary,
        key: column.primary || composite.includes(column.name),
        fallback: fallbackOf(column.default),
      }))
      const theirs = rows.map((row) => ({
        name: row.name,
        type: row.type,
        required: row.notnull === 1 && !(row.pk === 1 && composite.length === 0),
        key: Number(row.pk) > 0,
        fallback: row.dflt_value,
      }))
      expect(ours).toEqual(theirs)
    },
  )
})

describe('the reader', () => {
  it('reads rows with JSON columns as values', async () => {
    await database.write([
      `INSERT INTO facts (name, value) VALUES ('colour', 'green')`,
      `INSERT INTO policies (id, name, document_json, version, created_at, updated_at)
       VALUES ('p', 'nightly', '{"name":"nightly"}', 1, 5, 5)`,
    ])
    const { orm } = database
    const { facts, policies } = schema
    expect(await orm.select().from(facts).where(eq(facts.name, 'colour'))).toEqual([
      { name: 'colour', value: 'green' },
    ])
    expect((await orm.select().from(policies))[0]?.document).toEqual({ name: 'nightly' })
    expect(await orm.$count(policies, isNotNull(policies.id))).toBe(1)
  })

  it('throws on every kind of write and changes nothing', async () => {
    const anything = database.orm as never as {
      insert(t: unknown): { values(v: unknown): Promise<unknown> }
      update(t: unknown): { set(v: unknown): Promise<unknown> }
      delete(t: unknown): Promise<unknown>
      run(q: unknown): Promise<unknown>
      transaction(f: () => Promise<void>): Promise<unknown>
    }
    const { facts } = schema
    const attempts = [
      async () => anything.insert(facts).values({ name: 'a', value: 'b' }),
      async () => anything.update(facts).set({ value: 'red' }),
      async () => anything.delete(facts),
      async () => anything.run(sql`DROP TABLE facts`),
      async () => anything.run(sql`WITH x AS (SELECT 1) DELETE FROM facts`),
      async () => anything.transaction(async () => undefined),
    ]
    for (const attempt of attempts) {
      const error = await attempt().then(
        () => undefined,
        (e: Error) => e,
      )
      expect(String(error?.cause ?? error)).toMatch(/the reader only reads/)
    }
    expect((await database.read('SELECT value FROM facts')).rows[0]?.value).toBe('green')
  })
})
