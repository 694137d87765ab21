// Typed reads through drizzle, on a client that can do nothing but read.
import type { Client, InStatement } from '@libsql/client'
import { drizzle, type LibSQLDatabase } from 'drizzle-orm/libsql'
import * as schema from './schema.ts'

/** The part of drizzle the adapter uses. Changes go through `change`, which leaves its audit event. */
export type Reader = Pick<
  LibSQLDatabase<typeof schema>,
  'select' | 'selectDistinct' | '$count' | 'query'
>

/** A drizzle over `client` that rejects every statement but SELECT. */
export function createReader(client: Client): Reader {
  const refuse = () => {
    throw new TypeError('the reader only reads: write through change()')
  }
  const readOnly = {
    execute: (statement: InStatement) => {
      const sql = typeof statement === 'string' ? statement : statement.sql
      return /^\s*\(?\s*select\b/i.test(sql) ? client.execute(statement) : refuse()
    },
    batch: refuse,
    migrate: refuse,
    transaction: refuse,
    executeMultiple: refuse,
    sync: refuse,
    close: refuse,
    reconnect: refuse,
    closed: false,
    protocol: client.protocol,
  } satisfies Client
  return drizzle(readOnly, { schema })
}
