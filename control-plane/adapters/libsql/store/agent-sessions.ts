// Greetings and session tokens in libSQL.
import { eq } from 'drizzle-orm'
import type { AgentSession, AgentSessionsStore } from '../../../ports/store/agent-sessions.ts'
import { change, type Statement } from '../change.ts'
import type { Database } from '../client.ts'
import { agentSessions } from '../schema.ts'

const insertSession = (session: AgentSession, condition: string): Statement => ({
  sql: `INSERT INTO agent_sessions (id, host, boot, machine, hash, created_at, expires_at)
        SELECT ?, ?, ?, ?, ?, ?, ? WHERE ${condition}`,
  args: [
    session.id,
    session.host,
    session.boot,
    session.machine,
    session.hash,
    session.createdAt,
    session.expiresAt,
  ],
})

export function createAgentSessionsStore(database: Database): AgentSessionsStore {
  return {
    async addChallenge(challenge, now) {
      await database.write([
        { sql: 'DELETE FROM challenges WHERE expires_at <= ?', args: [now] },
        {
          sql: `INSERT INTO challenges (nonce, host, boot, machine, time, hello_json, expires_at)
                VALUES (?, ?, ?, ?, ?, ?, ?)`,
          args: [
            challenge.nonce,
            challenge.host,
            challenge.boot,
            challenge.machine,
            challenge.time,
            JSON.stringify(challenge.hello),
            challenge.expiresAt,
          ],
        },
      ])
    },
    async takeChallenge(nonce) {
      const [result] = await database.write([
        { sql: 'DELETE FROM challenges WHERE nonce = ? RETURNING *', args: [nonce] },
      ])
      const row = result?.rows[0]
      if (row === undefined) return undefined
      return {
        nonce,
        host: String(row.host),
        boot: String(row.boot),
        machine: String(row.machine),
        time: String(row.time),
        hello: JSON.parse(String(row.hello_json)),
        expiresAt: Number(row.expires_at),
      }
    },
    async open(session, seen, trace) {
      const guard = {
        sql: `UPDATE hosts SET boot = ?, machine = ?, version = ?, protocol = ?
              WHERE id = ? AND removed_at IS NULL AND NOT EXISTS (
                SELECT 1 FROM agent_sessions s WHERE s.host = hosts.id AND s.machine <> ? AND s.expires_at > ?)`,
        args: [
          session.boot,
          session.machine,
          seen.version,
          seen.protocol,
          session.host,
          session.machine,
          session.createdAt,
        ],
      }
      const insert = insertSession(session, 'GATE')
      const forget = {
        sql: `DELETE FROM agent_sessions WHERE host = ? AND (boot <> ? OR expires_at <= ?) AND GATE`,
        args: [session.host, session.boot, session.createdAt],
      }
      if (trace !== undefined) return change(database, trace, { guard, then: [insert, forget] })
      // The row of the session itself is the gate of what follows it.
      const gate = `EXISTS (SELECT 1 FROM agent_sessions WHERE id = '${session.id}')`
      const results = await database.write([
        { sql: guard.sql, args: guard.args },
        { sql: insert.sql.replace('GATE', 'changes() = 1'), args: [...insert.args] },
        { sql: forget.sql.replace('GATE', gate), args: forget.args },
      ])
      return results[1]?.rowsAffected === 1
    },
    async renew(session) {
      const { sql, args } = insertSession(session, '1 = 1')
      await database.write([
        { sql, args: [...args] },
        {
          sql: 'DELETE FROM agent_sessions WHERE host = ? AND expires_at <= ?',
          args: [session.host, session.createdAt],
        },
      ])
    },
    async find(id) {
      const [row] = await database.orm.select().from(agentSessions).where(eq(agentSessions.id, id))
      return row
    },
    noteDuplicate: (host, at, ifBefore, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE hosts SET duplicate_at = ? WHERE id = ? AND (duplicate_at IS NULL OR duplicate_at <= ?)`,
          args: [at, host, ifBefore],
        },
      }),
  }
}
