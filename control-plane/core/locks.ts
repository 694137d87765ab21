// The lock of a mover in the bucket: stored sealed, shown the others, refreshed, removed.
import type * as z from 'zod'
import { fromBase64, sha256Hex, toBase64 } from '../../shared/bytes.ts'
import { type Duration, MINUTE } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import {
  type lockAnswer,
  type lockRequest,
  MAX_SMALL_OBJECT,
  type unlockRequest,
} from '../../shared/protocol/calls.ts'
import { repositoryPrefix, smallKey } from '../../shared/vault/layout.ts'
import type { Objects } from '../ports/objects.ts'
import type { Lock, LocksStore } from '../ports/store/locks.ts'
import type { RepositoriesStore } from '../ports/store/repositories.ts'
import type { Asker, Attempts } from './attempts.ts'
import type { Basics } from './deps.ts'
import { eachInTurn } from './each-in-turn.ts'
import { newEvent } from './event.ts'
import { inParallel, STORE_WIDTH } from './in-parallel.ts'
import type { OpenVault } from './vault-access.ts'

/** Between storing a lock and looking for others, as restic does: two that start together see each other. */
const WAIT: Duration = 200
/** Locks that are shown to a mover. With more than that, something leaves locks behind. */
const MAX_SHOWN = 100
/** A lock stays this long after the lease of its mover lapsed: the mover may only be cut off. */
const ABANDONED_AFTER: Duration = 30 * MINUTE

export interface LocksDeps extends Basics {
  readonly attempts: Attempts
  readonly locks: LocksStore
  readonly repositories: Pick<RepositoriesStore, 'find'>
  readonly openVault: OpenVault
}

export function createLocks(deps: LocksDeps) {
  const { attempts, locks, repositories, openVault, clock } = deps

  const event = (action: string, lock: Omit<Lock, 'host'>, actor: string, host: string) =>
    newEvent(deps, {
      actor,
      action,
      target: `lock:${lock.id}`,
      outcome: 'ok',
      host,
      details: { repository: lock.repository, batch: lock.batch },
    })

  /** The object first, then its row: if we die in between, the row makes somebody remove it again. */
  async function drop(objects: Objects, lock: Lock, actor: string): Promise<void> {
    await objects.remove(smallKey(lock.repository, 'lock', lock.id))
    await locks.forget(lock.repository, lock.id, {
      events: [event('lock.removed', lock, actor, lock.host)],
    })
  }

  /**
   * Stores the mover's lock, removes the one it replaces, and shows the locks of all others. Throws `lock-lost`, and
   * stores nothing, when the one it replaces is gone.
   */
  async function lock(
    asker: Asker,
    request: z.infer<typeof lockRequest>,
  ): Promise<z.infer<typeof lockAnswer>> {
    const { repository, vault } = await attempts.leased(asker, request)
    const { objects } = vault
    const bytes = fromBase64(request.bytes)
    if ((await sha256Hex(bytes)) !== request.id) {
      throw new HoldfastError('invalid', 'id: is not the SHA-256 of the bytes')
    }
    const mine = { repository: repository.id, id: request.id, batch: asker.batch }
    const actor = `host:${asker.host}`
    const before = await locks.ofBatch(asker.batch)
    if (
      request.replaces !== undefined &&
      request.replaces !== request.id &&
      !before.some(({ id }) => id === request.replaces) &&
      (await locks.find(repository.id, request.replaces)) !== undefined
    ) {
      throw new HoldfastError('forbidden', 'replaces: is the lock of another mover')
    }
    if (request.replaces !== undefined && !(await anyStored(objects, before))) {
      // Swept by us, or removed by somebody's restic, while its mover slept: a prune may have run meanwhile.
      throw new HoldfastError(
        'lock-lost',
        'replaces: that lock is not in the repository any more',
        {
          hint: 'begin again from a new lock',
        },
      )
    }
    const trace = { events: [event('lock.stored', mine, actor, asker.host)] } as const
    if (!(await locks.add(mine, clock.now(), trace))) {
      throw new HoldfastError('already-exists', 'id: another mover has stored this very lock')
    }
    // If we die here, a row without an object stays until the sweep; the mover asks again.
    if ((await objects.put(smallKey(repository.id, 'lock', request.id), bytes)) === 'exists') {
      throw new HoldfastError('exists', 'the vault holds other bytes under the name of this lock')
    }
    // One live lock per mover: whatever it had before goes, also what an unanswered call left.
    for (const old of before) if (old.id !== request.id) await drop(objects, old, actor)
    await clock.sleep(WAIT)
    return { others: await others(objects, repository.id, request.id) }
  }

  /** Did this mover hold the repository all along? After an unanswered call its newest lock does, not the one it names. */
  async function anyStored(objects: Objects, mine: readonly Lock[]): Promise<boolean> {
    for (const { repository, id } of mine) {
      if ((await objects.head(smallKey(repository, 'lock', id))) !== undefined) return true
    }
    return false
  }

  async function others(objects: Objects, repository: string, own: string) {
    const prefix = `${repositoryPrefix(repository)}locks/`
    const page = await objects.list(prefix, { limit: MAX_SHOWN + 2 })
    const ids = page.objects
      .map(({ key }) => key.slice(prefix.length))
      .filter((id) => /^[0-9a-f]{64}$/.test(id) && id !== own)
    if (ids.length > MAX_SHOWN) {
      throw new HoldfastError('locked', `the repository has more than ${MAX_SHOWN} locks`, {
        hint: 'something leaves locks behind; look with: restic list locks --no-lock',
      })
    }
    const read = await inParallel(ids, STORE_WIDTH, async (id) => {
      const bytes = await objects.get(smallKey(repository, 'lock', id), MAX_SMALL_OBJECT)
      return bytes === undefined ? [] : [{ id, bytes: toBase64(bytes) }]
    })
    return read.flat()
  }

  return {
    lock,

    /** Removes the mover's own lock; also after its attempt ended. What is gone already is fine. */
    async unlock(asker: Asker, request: z.infer<typeof unlockRequest>): Promise<void> {
      const job = await attempts.jobOf(asker, request.job)
      const found = await locks.find(job.repository, request.id)
      if (found === undefined) return
      if (found.host !== asker.host || found.batch !== asker.batch) {
        throw new HoldfastError('forbidden', 'this is the lock of another mover')
      }
      const repository = await repositories.find(found.repository)
      if (repository === undefined) return
      await drop((await openVault(repository.vault)).objects, found, `host:${asker.host}`)
    },

    /** Removes locks of movers whose lease lapsed half an hour ago. For a timer, every few minutes. */
    async sweep(): Promise<number> {
      const abandoned = await locks.abandoned(clock.now() - ABANDONED_AFTER)
      await eachInTurn(abandoned, async (lock) => {
        const repository = await repositories.find(lock.repository)
        if (repository === undefined) return
        await drop((await openVault(repository.vault)).objects, lock, 'system')
      })
      return abandoned.length
    },
  }
}
export type Locks = ReturnType<typeof createLocks>
