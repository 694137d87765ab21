import { and, asc, desc, eq, gt, gte, lt, lte, type SQL, sql } from 'drizzle-orm'
import type { AuditFilter, AuditStore } from '../../../ports/store/audit.ts'
import { record } from '../change.ts'
import type { Database } from '../client.ts'
import { audit } from '../schema.ts'

export function createAuditStore(database: Database): AuditStore {
  const select = () => database.orm.select({ seq: audit.seq, entry: audit.entry }).from(audit)
  return {
    forwards: async (filter, after, upTo, limit) =>
      select()
        .where(and(gt(audit.seq, after), lte(audit.seq, upTo), conditions(filter)))
        .orderBy(asc(audit.seq))
        .limit(limit),

    backwards: async (filter, before, limit) =>
      select()
        .where(and(lt(audit.seq, before), conditions(filter)))
        .orderBy(desc(audit.seq))
        .limit(limit),

    async newest() {
      const rows = await database.orm
        .select({ seq: sql<number>`COALESCE(MAX(${audit.seq}), -1)` })
        .from(audit)
      return rows[0]?.seq ?? -1
    },

    record: (event) => record(database, event),
  }
}

function conditions({
  since,
  until,
  host,
  actor,
  action,
  outcome,
  job,
}: AuditFilter): SQL | undefined {
  return and(
    since === undefined ? undefined : gte(audit.at, since),
    until === undefined ? undefined : lt(audit.at, until),
    host === undefined ? undefined : eq(audit.host, host),
    actor === undefined ? undefined : eq(audit.actor, actor),
    action === undefined ? undefined : actionCondition(action),
    outcome === undefined ? undefined : eq(audit.outcome, outcome),
    job === undefined ? undefined : eq(audit.job, job),
  )
}

/** `job.*` becomes a range of the index: everything from `job.` up to, without, its successor. */
function actionCondition(action: string): SQL | undefined {
  if (!action.endsWith('*')) return eq(audit.action, action)
  const prefix = action.slice(0, -1)
  return and(gte(audit.action, prefix), lt(audit.action, `${prefix}\u{10ffff}`))
}
