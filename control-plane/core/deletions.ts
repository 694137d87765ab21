// The last step of a prune: packs that were condemned long enough ago, and confirmed lately, leave the bucket.

import type { AuditEvent } from '../../shared/audit/event.ts'
import { DAY, type Duration } from '../../shared/clock.ts'
import { packKey } from '../../shared/vault/layout.ts'
import type { DuePack, RetirementsStore } from '../ports/store/retirements.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import { inParallel, STORE_WIDTH } from './in-parallel.ts'
import type { OpenVault } from './vault-access.ts'

/** Store calls of one step. */
const STEP_CALLS = 500
/** Steps of one sweep: the timer comes again within a minute. */
const MAX_STEPS = 20
/**
 * A confirmation older than this is none: an index file that lists the pack may have come back since. Prunes that
 * confirm come daily.
 */
const CONFIRMATION_LIFE: Duration = 2 * DAY

export interface DeletionsDeps extends Basics {
  readonly retirements: RetirementsStore
  readonly openVault: OpenVault
}

export function createDeletions(deps: DeletionsDeps) {
  const { retirements, openVault, clock } = deps

  /** Marks first, so that nobody spares a pack whose removal is under way. */
  async function begin(repository: string, packs: readonly DuePack[]): Promise<void> {
    const event = newEvent(deps, {
      actor: 'system',
      action: 'prune.deleting',
      target: `repository:${repository}`,
      outcome: 'ok',
      host: packs[0]!.host,
      details: { packs: packs.length, bytes: packs.reduce((sum, { bytes }) => sum + bytes, 0) },
    })
    const ids = packs.map(({ id }) => id)
    await retirements.beginDeleting(repository, ids, { events: [event] })
  }

  /** If we die in between, they are removed again and then noted: each hash stands in the log in the end. */
  async function remove(repository: string, packs: readonly DuePack[]): Promise<void> {
    const { objects } = await openVault(packs[0]!.vault)
    await inParallel(packs, STORE_WIDTH, ({ id }) => objects.remove(packKey(repository, id)))
    const events = packs.map((pack) =>
      newEvent(deps, {
        actor: 'system',
        action: 'object.deleted',
        target: `object:${packKey(repository, pack.id)}`,
        outcome: 'ok',
        host: pack.host,
        details: { sha256: pack.id, bytes: pack.bytes, what: 'pack' },
      }),
    ) as [AuditEvent, ...AuditEvent[]]
    const ids = packs.map(({ id }) => id)
    await retirements.deleted(repository, ids, clock.now(), { events })
  }

  return {
    /** Deletes what is due, some at a time. Resolves to how many. For a timer, every minute. */
    async sweep(): Promise<number> {
      let deleted = 0
      for (let step = 0; step < MAX_STEPS; step++) {
        const now = clock.now()
        const due = await retirements.due(now, now - CONFIRMATION_LIFE, STEP_CALLS)
        if (due.length === 0) break
        for (const [repository, packs] of Map.groupBy(due, (pack) => pack.repository)) {
          const begun = packs.filter(({ state }) => state === 'deleting')
          const fresh = packs.filter(({ state }) => state === 'condemned')
          if (fresh.length > 0) await begin(repository, fresh)
          if (begun.length > 0) await remove(repository, begun)
          deleted += begun.length
        }
      }
      return deleted
    },
  }
}
export type Deletions = ReturnType<typeof createDeletions>
