// Slots and jobs of prunes in libSQL.
import { DAY } from '../../../../shared/clock.ts'
import { PRUNE_PROTOCOL_VERSION } from '../../../../shared/protocol/version.ts'
import type { PrunesStore } from '../../../ports/store/prunes.ts'
import { change } from '../change.ts'
import type { Database } from '../client.ts'
import { insertQueued } from './new-job.ts'

/** Leftovers of broken runs and small index files are looked for this often, whatever was forgotten. */
const HOUSEKEEPING = 30 * DAY
/** Whoever was asked to approve is not asked again every day. */
const APPROVAL_PATIENCE = 7 * DAY

/** Start of the last prune that went through. */
const LAST = `(SELECT MAX(j.started_at) FROM jobs j WHERE j.state = 'finished' AND j.host = r.host
  AND j.repository = r.id AND j.kind = 'prune' AND j.outcome = 'succeeded')`

const OPEN = `EXISTS (SELECT 1 FROM jobs j WHERE j.repository = r.id AND j.kind = 'prune' AND j.state <> 'finished')`

/** Arguments: now, now, now. */
const NEEDED = `(
  EXISTS (SELECT 1 FROM snapshots s WHERE s.repository = r.id AND s.state IN ('forgotten', 'vanished')
    AND s.state_at >= COALESCE(${LAST}, 0))
  OR EXISTS (SELECT 1 FROM condemned c WHERE c.repository = r.id AND c.state = 'condemned'
    AND c.at + v.retention_floor_days * ${DAY} <= ? + ${DAY})
  OR r.unknown_snapshots > 0
  OR COALESCE(${LAST}, r.ready_at) <= ? - ${HOUSEKEEPING})
  AND NOT ${OPEN}
  AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.state = 'finished' AND j.host = r.host AND j.kind = 'prune'
    AND j.reason = 'needs-approval' AND j.finished_at > ? - ${APPROVAL_PATIENCE}
    AND j.finished_at > COALESCE(${LAST}, 0))
  AND EXISTS (SELECT 1 FROM hosts h WHERE h.id = r.host AND h.removed_at IS NULL
    AND h.protocol >= ${PRUNE_PROTOCOL_VERSION})`

export function createPrunesStore(database: Database): PrunesStore {
  return {
    async unscheduled(limit) {
      const { rows } = await database.read(
        `SELECT id FROM repositories WHERE state = 'ready' AND prune_at IS NULL LIMIT ?`,
        [limit],
      )
      return rows.map((row) => String(row.id))
    },
    async setSlot(repository, from, to) {
      const [result] = await database.write([
        {
          sql: 'UPDATE repositories SET prune_at = ? WHERE id = ? AND prune_at IS ?',
          args: [to, repository, from],
        },
      ])
      return result?.rowsAffected === 1
    },
    async due(now, limit) {
      const { rows } = await database.read(
        `SELECT r.id, r.host, r.vault, r.prune_at, ${NEEDED} AS needed FROM repositories r
         JOIN vaults v ON v.id = r.vault WHERE r.state = 'ready' AND r.prune_at <= ? ORDER BY r.prune_at LIMIT ?`,
        [now, now, now, now, limit],
      )
      return rows.map((row) => ({
        repository: String(row.id),
        host: String(row.host),
        vault: String(row.vault),
        slot: Number(row.prune_at),
        needed: row.needed === 1,
      }))
    },
    queue(job, trace) {
      return change(database, trace, {
        guard: insertQueued(
          [job],
          `NOT EXISTS (SELECT 1 FROM jobs j WHERE j.repository = value ->> 3 AND j.kind = 'prune' AND j.state <> 'finished')
           AND EXISTS (SELECT 1 FROM hosts h WHERE h.id = value ->> 2 AND h.protocol >= ${PRUNE_PROTOCOL_VERSION})`,
        ),
      })
    },
    async protocol(host) {
      const { rows } = await database.read('SELECT protocol FROM hosts WHERE id = ?', [host])
      const version = rows[0]?.protocol
      return version === null || version === undefined ? undefined : Number(version)
    },
  }
}
