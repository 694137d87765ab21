import { and, desc, eq, gte, lt, sql } from 'drizzle-orm'
import type { JobRequestsStore } from '../../../ports/store/job-requests.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { hosts, jobs, pages } from '../schema.ts'
import { unlessTaken } from './constraint.ts'
import { finishQueued, insertQueued } from './new-job.ts'

const columns = {
  id: jobs.id,
  kind: jobs.kind,
  host: jobs.host,
  hostName: hosts.name,
  repository: jobs.repository,
  source: jobs.source,
  policy: jobs.policy,
  policyName: jobs.policyName,
  slotAt: jobs.slotAt,
  parameters: jobs.parameters,
  requestedBy: jobs.requestedBy,
  createdAt: jobs.createdAt,
  state: jobs.state,
  attempt: jobs.attempt,
  batch: jobs.batch,
  cancelAt: jobs.cancelAt,
  progress: jobs.progress,
  outcome: jobs.outcome,
  reason: jobs.reason,
  message: jobs.message,
  counts: jobs.counts,
  // The report itself may be large; lists only say whether there is one.
  hasReport: sql<number>`${jobs.report} IS NOT NULL`.mapWith(Boolean),
  snapshot: jobs.snapshot,
  startedAt: jobs.startedAt,
  finishedAt: jobs.finishedAt,
}

export function createJobRequestsStore(database: Database): JobRequestsStore {
  const select = () =>
    database.orm.select(columns).from(jobs).innerJoin(hosts, eq(hosts.id, jobs.host))
  return {
    add([first, ...rest], trace) {
      return unlessTaken(
        change(database, trace, {
          guard: insertQueued([first], '1 = 1'),
          then: rest.length === 0 ? [] : [insertQueued(rest, 'GATE')],
        }),
      )
    },

    async get(id) {
      return (await select().where(eq(jobs.id, id)))[0]
    },

    async list(filter) {
      const { host, source, policy, kind, state, outcome, since, until, before } = filter
      return (
        select()
          .where(
            and(
              host === undefined ? undefined : eq(jobs.host, host),
              source === undefined ? undefined : eq(jobs.source, source),
              policy === undefined ? undefined : eq(jobs.policyName, policy),
              kind === undefined ? undefined : eq(jobs.kind, kind),
              state === undefined ? undefined : eq(jobs.state, state),
              outcome === undefined ? undefined : eq(jobs.outcome, outcome),
              since === undefined ? undefined : gte(jobs.createdAt, since),
              until === undefined ? undefined : lt(jobs.createdAt, until),
              before === undefined ? undefined : lt(jobs.id, before),
            ),
          )
          // Ids are UUIDv7: their order is the order of creation.
          .orderBy(desc(jobs.id))
          .limit(filter.limit)
      )
    },

    async report(id) {
      const rows = await database.orm
        .select({ report: jobs.report })
        .from(jobs)
        .where(eq(jobs.id, id))
      return rows[0]?.report ?? undefined
    },

    async page(job, page) {
      const rows = await database.orm
        .select({ last: pages.last, bytes: pages.bytes })
        .from(pages)
        .where(and(eq(pages.job, job), eq(pages.page, page)))
      return rows[0]
    },

    cancelQueued: (job, trace) => change(database, trace, { guard: finishQueued(job, '1 = 1') }),

    cancelRunning: (id, at, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE jobs SET cancel_at = ? WHERE id = ? AND state = 'running' AND cancel_at IS NULL`,
          args: [at, id],
        },
      }),

    async forgetPages(before) {
      await database.write([{ sql: 'DELETE FROM pages WHERE at < ?', args: [before] }])
    },
  }
}
