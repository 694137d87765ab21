// Commits in libSQL.
import { and, asc, eq, inArray, isNull, ne } from 'drizzle-orm'
import type { Commit, CommitsStore } from '../../../ports/store/commits.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { commits, snapshots } from '../schema.ts'

/** The attempt that claims is the one that runs. */
const OWNS = `EXISTS (SELECT 1 FROM jobs j WHERE j.id = commits.job AND j.state = 'running'
  AND j.attempt = commits.attempt AND j.fence = commits.fence)`

export function createCommitsStore(database: Database): CommitsStore {
  const { orm } = database
  return {
    async find(job, attempt): Promise<Commit | undefined> {
      const [row] = await orm
        .select()
        .from(commits)
        .where(and(eq(commits.job, job), eq(commits.attempt, attempt)))
      return row
    },
    claim: (commit, replaces, trace) =>
      change(database, trace, {
        guard: {
          sql: `INSERT INTO commits (job, attempt, fence, batch, repository, state, code, message, snapshot,
                  body_sha256, receipt_json, signature, bytes, at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (job, attempt) DO UPDATE SET fence = excluded.fence, batch = excluded.batch,
                  repository = excluded.repository, state = excluded.state, code = excluded.code,
                  message = excluded.message, snapshot = excluded.snapshot, body_sha256 = excluded.body_sha256,
                  receipt_json = excluded.receipt_json, signature = excluded.signature, bytes = excluded.bytes,
                  at = excluded.at, listing_cursor = NULL, sequence = NULL, checked_at = NULL
                WHERE commits.state = 'refused' AND commits.body_sha256 = ?`,
          args: [
            commit.job,
            commit.attempt,
            commit.fence,
            commit.batch,
            commit.repository,
            commit.state,
            commit.code,
            commit.message,
            commit.snapshot,
            commit.bodySha256,
            commit.state === 'refused' ? null : commit.receiptText,
            commit.signature,
            commit.bytes,
            commit.at,
            replaces ?? null,
          ],
        },
      }),
    async setListingCursor({ job, attempt, bodySha256 }, cursor) {
      await database.write([
        {
          sql: `UPDATE commits SET listing_cursor = ?
                WHERE job = ? AND attempt = ? AND state = 'checking' AND body_sha256 = ?`,
          args: [cursor, job, attempt, bodySha256],
        },
      ])
    },
    beginWriting: (commit, epoch, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE commits SET state = 'writing',
                  sequence = (SELECT receipts + 1 FROM repositories r WHERE r.id = commits.repository)
                WHERE job = ? AND attempt = ? AND state = 'checking' AND body_sha256 = ? AND ${OWNS}
                AND EXISTS (SELECT 1 FROM repositories r WHERE r.id = commits.repository AND r.epoch = ?)
                AND NOT EXISTS (SELECT 1 FROM commits o WHERE o.snapshot = commits.snapshot
                  AND o.job <> commits.job AND o.state IN ('writing', 'accepted'))`,
          args: [commit.job, commit.attempt, commit.bodySha256, epoch],
        },
        then: [
          {
            sql: 'UPDATE repositories SET receipts = receipts + 1 WHERE id = ? AND GATE',
            args: [commit.repository],
          },
        ],
      }),
    renumber: (commit, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE commits SET sequence = (SELECT receipts + 1 FROM repositories r WHERE r.id = commits.repository)
                WHERE job = ? AND attempt = ? AND state = 'writing' AND sequence = ?`,
          args: [commit.job, commit.attempt, commit.sequence],
        },
        then: [
          {
            sql: 'UPDATE repositories SET receipts = receipts + 1 WHERE id = ? AND GATE',
            args: [commit.repository],
          },
        ],
      }),
    accept: (commit, snapshot, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE commits SET state = 'accepted', receipt_json = NULL, bytes = NULL, checked_at = ?
                WHERE job = ? AND attempt = ? AND state = 'writing'`,
          args: [snapshot.receivedAt, commit.job, commit.attempt],
        },
        then: [
          {
            sql: `INSERT INTO snapshots (id, repository, host, source, job, tree, time, received_at, parent,
                    counts_json, receipt_json, signature, outcome, policy_name)
                  SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE GATE`,
            args: [
              commit.snapshot,
              commit.repository,
              snapshot.host,
              snapshot.source,
              commit.job,
              commit.receipt?.tree ?? '',
              Date.parse(commit.receipt?.time ?? ''),
              snapshot.receivedAt,
              commit.receipt?.parent ?? null,
              JSON.stringify(commit.receipt?.counts),
              JSON.stringify(commit.receipt),
              commit.signature,
              snapshot.outcome,
              snapshot.policyName,
            ],
          },
          {
            sql: 'UPDATE jobs SET snapshot = ? WHERE id = ? AND GATE',
            args: [commit.snapshot, commit.job],
          },
        ],
      }),
    refuse: (commit, why, trace) =>
      change(database, trace, {
        guard: {
          sql: `UPDATE commits SET state = 'refused', code = ?, message = ?, receipt_json = NULL, bytes = NULL,
                  checked_at = ? WHERE job = ? AND attempt = ? AND state = ? AND body_sha256 = ?`,
          args: [
            why.code,
            why.message,
            why.at,
            commit.job,
            commit.attempt,
            commit.state,
            commit.bodySha256,
          ],
        },
      }),
    async snapshotTaken(snapshot, job) {
      const [row] = await orm
        .select({ job: commits.job })
        .from(commits)
        .where(
          and(
            eq(commits.snapshot, snapshot),
            ne(commits.job, job),
            inArray(commits.state, ['writing', 'accepted']),
          ),
        )
        .limit(1)
      return row !== undefined
    },
    async condemnedAmong(repository, packs) {
      const { rows } = await database.read(
        `SELECT id FROM condemned WHERE repository = ? AND id IN (SELECT value FROM json_each(?)) LIMIT 1`,
        [repository, JSON.stringify(packs)],
      )
      return rows[0] === undefined ? undefined : String(rows[0].id)
    },
    openIds: (limit) =>
      orm
        .select({ job: commits.job, attempt: commits.attempt })
        .from(commits)
        .where(inArray(commits.state, ['checking', 'writing']))
        .orderBy(asc(commits.at))
        .limit(limit),
    async acceptedSnapshot(job) {
      const [row] = await orm
        .select({ id: snapshots.id, counts: snapshots.counts })
        .from(snapshots)
        .where(and(eq(snapshots.job, job), isNull(snapshots.original)))
      return row === undefined || row.counts === null ? undefined : { ...row, counts: row.counts }
    },
  }
}
