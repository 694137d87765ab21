// The one idiom for changing anything: a guarded statement, its audit events and its messages, in one batch.
import type { InStatement, InValue } from '@libsql/client'
import { type AuditEvent, eventText } from '../../../shared/audit/event.ts'
import type { OutgoingMessage, Trace } from '../../ports/store/trace.ts'
import type { Database } from './client.ts'

export interface Statement {
  readonly sql: string
  readonly args: readonly InValue[]
}

export interface Change {
  /**
   * The statement that decides. It must affect exactly one row when the change is allowed and none
   * when it is not: state, fence and version belong in its WHERE.
   */
  readonly guard: Statement
  /** Further statements, run only if the guard held. Their SQL must contain the word `GATE` in a WHERE. */
  readonly then?: readonly Statement[]
}

/**
 * Carries out the change, or nothing at all. Returns false when the guard matched no row (somebody was
 * faster, or the state is another): the caller reads again and decides.
 *
 * The first event's row doubles as the gate of everything after it: it exists if and only if the guard
 * changed one row.
 */
export async function change(database: Database, trace: Trace, wanted: Change): Promise<boolean> {
  const [first, ...rest] = trace.events
  const gate = `EXISTS (SELECT 1 FROM audit WHERE id = '${first.id}')`
  const statements: InStatement[] = [
    { sql: wanted.guard.sql, args: [...wanted.guard.args] },
    insertEvent(first, 'changes() = 1'),
    ...(rest.length === 0 ? [] : [insertEvents(rest, gate)]),
    ...(wanted.then ?? []).map((statement) => {
      if (!statement.sql.includes('GATE'))
        throw new TypeError(`statement without GATE: ${statement.sql}`)
      return { sql: statement.sql.replace('GATE', gate), args: [...statement.args] }
    }),
    ...(trace.messages ?? []).map((message) => insertMessage(message, gate)),
  ]
  const results = await database.write(statements)
  return results[1]?.rowsAffected === 1
}

/** An event of its own, for what changes nothing: a read that must be seen, a refusal. */
export async function record(database: Database, event: AuditEvent): Promise<void> {
  await database.write([insertEvent(event, '1 = 1')])
}

/** Events and messages that belong to no change: an alarm about something that was seen. */
export async function recordTrace(database: Database, trace: Trace): Promise<void> {
  await database.write([
    ...trace.events.map((event) => insertEvent(event, '1 = 1')),
    ...(trace.messages ?? []).map((message) => insertMessage(message, '1 = 1')),
  ])
}

function insertMessage(message: OutgoingMessage, condition: string): InStatement {
  return {
    sql: `INSERT INTO queue (id, topic, body, visible_at, created_at) SELECT ?, ?, ?, ?, ? WHERE ${condition}`,
    args: [message.id, message.topic, message.body, message.visibleAt, message.createdAt],
  }
}

/** The columns of an event's row, after `seq`. */
function rowOf(event: AuditEvent): (string | number | null)[] {
  return [
    event.id,
    Date.parse(event.at),
    event.actor,
    event.action,
    event.target,
    event.outcome,
    event.host ?? null,
    event.job ?? null,
    eventText(event),
  ]
}

/** Many events as one statement: a scheduled run of a large fleet brings thousands. */
function insertEvents(events: readonly AuditEvent[], condition: string): InStatement {
  const rows = events.map(rowOf)
  const columns = rows[0]!.map((_, column) => `value ->> ${column}`).join(', ')
  return {
    // `key` is the position in the list, from 0; MAX is read once, before the first row goes in.
    sql: `INSERT INTO audit (seq, id, at, actor, action, target, outcome, host, job, entry)
          SELECT (SELECT COALESCE(MAX(seq), -1) + 1 FROM audit) + key, ${columns}
          FROM json_each(?) WHERE ${condition} ORDER BY key`,
    args: [JSON.stringify(rows)],
  }
}

function insertEvent(event: AuditEvent, condition: string): InStatement {
  return {
    sql: `INSERT INTO audit (seq, id, at, actor, action, target, outcome, host, job, entry)
          SELECT (SELECT COALESCE(MAX(seq), -1) + 1 FROM audit), ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE ${condition}`,
    args: rowOf(event),
  }
}
