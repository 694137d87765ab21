// Events and pages of agents in libSQL.
import { and, eq, isNull } from 'drizzle-orm'
import type { AgentReportsStore, EventPosition } from '../../../ports/store/agent-reports.ts'
import type { Trace } from '../../../ports/store/trace.ts'
import { change, type Statement } from '../change.ts'
import type { Database } from '../client.ts'
import { agentEvents, sources } from '../schema.ts'

/** Takes the position: one row when the event is new, none when it was taken before. */
const take = ({ host, boot, seq, at }: EventPosition): Statement => ({
  sql: `INSERT INTO agent_events (host, boot, seq, at) VALUES (?, ?, ?, ?)
        ON CONFLICT (host, boot) DO UPDATE SET seq = excluded.seq, at = excluded.at
        WHERE agent_events.seq < excluded.seq`,
  args: [host, boot, seq, at],
})

export function createAgentReportsStore(database: Database): AgentReportsStore {
  const { orm } = database

  /** With a trace the one idiom; without, the same effects gated by the position itself. */
  async function taken(
    position: EventPosition,
    then: readonly Statement[],
    trace: Trace | undefined,
  ): Promise<boolean> {
    if (trace !== undefined) return change(database, trace, { guard: take(position), then })
    const { host, boot, seq } = position
    if ((await last(host, boot)) >= seq) return false
    // Two requests with the same event may both come here: what follows is the same state written twice.
    const results = await database.write([
      ...then.map(({ sql, args }) => ({ sql: sql.replace('GATE', '1 = 1'), args: [...args] })),
      { sql: take(position).sql, args: [...take(position).args] },
    ])
    return results.at(-1)?.rowsAffected === 1
  }

  async function last(host: string, boot: string): Promise<number> {
    const [row] = await orm
      .select({ seq: agentEvents.seq })
      .from(agentEvents)
      .where(and(eq(agentEvents.host, host), eq(agentEvents.boot, boot)))
    return row?.seq ?? 0
  }

  return {
    last,
    alive: (position, freeStateBytes, trace) =>
      taken(
        position,
        [
          {
            sql: `UPDATE hosts SET last_seen = MAX(COALESCE(last_seen, 0), ?), silent_since = NULL,
                    free_state_bytes = COALESCE(?, free_state_bytes) WHERE id = ? AND GATE`,
            args: [position.at, freeStateBytes, position.host],
          },
        ],
        trace,
      ),
    async presentSources(host) {
      const rows = await orm
        .select({ source: sources.source })
        .from(sources)
        .where(and(eq(sources.host, host), isNull(sources.goneAt)))
      return rows.map(({ source }) => source)
    },
    inventory: (position, inventory, found, trace) =>
      taken(
        position,
        [
          {
            sql: 'UPDATE hosts SET inventory_json = ?, inventory_at = ? WHERE id = ? AND GATE',
            args: [JSON.stringify(inventory), position.at, position.host],
          },
          {
            sql: `INSERT INTO sources (host, source, kind, name, details_json, first_seen, last_seen)
                  SELECT ?, json_extract(value, '$.source'), json_extract(value, '$.kind'),
                    json_extract(value, '$.name'), json_extract(value, '$.details'), ?, ?
                  FROM json_each(?) WHERE GATE
                  ON CONFLICT (host, source) DO UPDATE SET details_json = excluded.details_json,
                    name = excluded.name, last_seen = excluded.last_seen, gone_at = NULL`,
            args: [position.host, position.at, position.at, JSON.stringify(found)],
          },
          {
            sql: `UPDATE sources SET gone_at = ? WHERE host = ? AND gone_at IS NULL
                  AND source NOT IN (SELECT json_extract(value, '$.source') FROM json_each(?)) AND GATE`,
            args: [position.at, position.host, JSON.stringify(found)],
          },
        ],
        trace,
      ),
    notice: (position, trace) => taken(position, [], trace),
    async addPage(page) {
      await database.write([
        {
          sql: `INSERT INTO pages (job, page, last, bytes, at) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (job, page) DO NOTHING`,
          args: [page.job, page.page, page.last ? 1 : 0, page.bytes, page.at],
        },
      ])
    },
    async pageBytes(job) {
      const { rows } = await database.read(
        'SELECT COALESCE(SUM(LENGTH(bytes)), 0) AS total FROM pages WHERE job = ?',
        [job],
      )
      return Number(rows[0]?.total ?? 0)
    },
  }
}
