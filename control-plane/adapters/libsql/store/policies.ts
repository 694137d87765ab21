import { and, asc, eq, isNull, lte } from 'drizzle-orm'
import type { Advance, PoliciesStore, Policy } from '../../../ports/store/policies.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { jobs, policies } from '../schema.ts'
import { unlessTaken } from './constraint.ts'
import { finishQueued, insertFinished, insertQueued } from './new-job.ts'

const columns = {
  id: policies.id,
  name: policies.name,
  document: policies.document,
  version: policies.version,
  createdAt: policies.createdAt,
  updatedAt: policies.updatedAt,
  nextAt: policies.nextAt,
}

/** Runs that wait for their first attempt: those a policy may have one of per source. */
const WAITING = `state = 'queued' AND attempt = 0`

export function createPoliciesStore(database: Database): PoliciesStore {
  const live = () => database.orm.select(columns).from(policies)
  return {
    list: async () => live().where(isNull(policies.deletedAt)).orderBy(asc(policies.name)),

    async find(name) {
      return (await live().where(and(eq(policies.name, name), isNull(policies.deletedAt))))[0]
    },

    insert: (policy, trace) =>
      unlessTaken(
        change(database, trace, {
          guard: {
            sql: `INSERT INTO policies (id, name, document_json, version, created_at, updated_at, next_at)
                  VALUES (?, ?, ?, ?, ?, ?, ?)`,
            args: [
              policy.id,
              policy.name,
              JSON.stringify(policy.document),
              policy.version,
              policy.createdAt,
              policy.updatedAt,
              policy.nextAt,
            ],
          },
        }),
      ),

    replace: (policy, expectedVersion, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE policies SET document_json = ?, version = ?, updated_at = ?, next_at = ?
                WHERE id = ? AND version = ? AND deleted_at IS NULL`,
          args: [
            JSON.stringify(policy.document),
            policy.version,
            policy.updatedAt,
            policy.nextAt,
            policy.id,
            expectedVersion,
          ],
        },
      }),

    remove: (policy: Policy, at, trace) =>
      change(database, trace, {
        guard: {
          // The name becomes free; jobs keep the policy's id and the name it had.
          sql: `UPDATE policies SET deleted_at = ?, next_at = NULL, name = name || '~' || id
                WHERE id = ? AND version = ? AND deleted_at IS NULL`,
          args: [at, policy.id, policy.version],
        },
        then: [
          {
            sql: `UPDATE jobs SET state = 'finished', outcome = 'cancelled', reason = 'cancelled-by-person',
                  message = 'the policy was deleted', finished_at = ?
                  WHERE policy = ? AND slot_at IS NOT NULL AND ${WAITING} AND GATE`,
            args: [at, policy.id],
          },
        ],
      }),

    due: async (now, limit) =>
      live()
        .where(and(isNull(policies.deletedAt), lte(policies.nextAt, now)))
        .orderBy(asc(policies.nextAt))
        .limit(limit),

    async pending(policy) {
      const rows = await database.orm
        .select({ id: jobs.id, host: jobs.host, source: jobs.source, slotAt: jobs.slotAt })
        .from(jobs)
        .where(and(eq(jobs.policy, policy), eq(jobs.state, 'queued'), eq(jobs.attempt, 0)))
      return rows.flatMap((row) => (row.source === null ? [] : [{ ...row, source: row.source }]))
    },

    advance(step: Advance, trace) {
      const expired = step.expired.map((job) => job.id)
      const marks = expired.map(() => '?').join(', ')
      return unlessTaken(
        change(database, trace, {
          guard: {
            // All that was decided upon must still be so: the slot, the document, and who is waiting.
            sql: `UPDATE policies SET next_at = ?
                  WHERE id = ? AND version = ? AND next_at = ? AND deleted_at IS NULL
                  AND (SELECT COUNT(*) FROM jobs WHERE ${WAITING} AND id IN (${marks})) = ?`,
            args: [step.to, step.policy, step.version, step.from, ...expired, expired.length],
          },
          then: [
            ...step.expired.map((job) => finishQueued(job, 'GATE')),
            insertFinished(step.missed, 'GATE'),
            insertQueued(step.queued, 'GATE'),
          ],
        }),
      )
    },
  }
}
