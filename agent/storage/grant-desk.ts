// Signed URLs on request: wishes are gathered into few questions, and what is outstanding stays within its limits.
import {
  GRANT_MARGIN_SECONDS,
  type Grant,
  MAX_GRANTS_PER_REQUEST,
  MAX_OUTSTANDING_BYTES,
  MAX_OUTSTANDING_GRANTS,
  type WantedGrant,
} from '../../shared/protocol/calls.ts'
import { StorageError } from './object-store.ts'

/** Whoever can ask the control plane for grants. Waits out an unreachable plane; rejects when it says no. */
export interface GrantSource {
  grants(request: { wanted: WantedGrant[]; stored: string[] }): Promise<readonly Grant[]>
  /** After a 412: what is under these names? */
  stored(
    objects: { what: 'pack' | 'index'; id: string; bytes: number }[],
  ): Promise<readonly { id: string; state: 'stored' | 'exists' | 'absent' }[]>
}

/** A grant and when it ends, by the monotonic clock of this host. */
export interface HeldGrant {
  readonly grant: Grant
  /** Milliseconds: from here on, ask for another. */
  readonly freshUntil: number
}

export interface GrantDesk {
  /** Resolves with a fresh grant; waits while too many are outstanding. Rejects with `denied`. */
  take(wanted: WantedGrant): Promise<HeldGrant>
  /** The object of this PUT grant is stored: the control plane hears of it with the next question. */
  used(id: string): void
  /** PUT grants given and neither used nor over. */
  outstanding(): { grants: number; bytes: number }
}

/** Questions under way at a time: the second is prepared while the first travels. */
const questionsAtOnce = 2

/** Whether somebody decided against it, rather than could not be asked. */
function isDecision(error: unknown): boolean {
  return (error as { retryable?: unknown } | undefined)?.retryable === false
}

interface Wish {
  readonly wanted: WantedGrant
  resolve(held: HeldGrant): void
  reject(error: unknown): void
}

export function createGrantDesk(source: GrantSource, monotonic: () => number): GrantDesk {
  const wishes: Wish[] = []
  const open = new Map<string, { bytes: number; until: number }>()
  let used: string[] = []
  let asking = 0
  let planned = false

  function outstanding(): { grants: number; bytes: number } {
    const now = monotonic()
    let bytes = 0
    for (const [id, entry] of open) {
      if (entry.until <= now) open.delete(id)
      else bytes += entry.bytes
    }
    return { grants: open.size, bytes }
  }

  /**
   * The next wishes that fit within the limits, in their order. Only wishes of one method: a question is granted
   * or refused as a whole, and a refused look back must not stop an upload.
   */
  function nextWishes(): Wish[] {
    const now = outstanding()
    const taken: Wish[] = []
    while (taken.length < MAX_GRANTS_PER_REQUEST) {
      const wish = wishes[0]
      if (wish === undefined) break
      if (taken[0] !== undefined && taken[0].wanted.method !== wish.wanted.method) break
      if (wish.wanted.method === 'PUT') {
        const { id, bytes } = wish.wanted
        const known = open.has(id)
        const fits =
          now.grants < MAX_OUTSTANDING_GRANTS && now.bytes + bytes <= MAX_OUTSTANDING_BYTES
        // One object over the limit may go alone; a repeat for a known one takes no new room.
        if (!known && !fits && now.grants > 0) break
        if (!known) {
          now.grants++
          now.bytes += bytes
        }
        // Until the answer is here it counts as open; the answer sets its end.
        open.set(id, { bytes, until: Number.POSITIVE_INFINITY })
      }
      taken.push(wish)
      wishes.shift()
    }
    return taken
  }

  async function ask(batch: Wish[]): Promise<void> {
    const reported = used.splice(0, MAX_OUTSTANDING_GRANTS)
    try {
      const wanted = batch.map((wish) => wish.wanted)
      const grants = await source.grants({ wanted, stored: reported })
      const received = monotonic()
      for (const wish of batch) {
        const { id, method } = wish.wanted
        const grant = grants.find((g) => g.id === id && g.method === method)
        if (grant === undefined) {
          open.delete(id)
          wish.reject(new StorageError('denied', `no ${method} grant came for ${id}`))
          continue
        }
        const life = grant.seconds * 1_000
        const entry = open.get(id)
        if (entry !== undefined && method === 'PUT') entry.until = received + life
        // Two minutes before its end a URL is not begun with; one that lives shorter serves half its life.
        const margin = Math.min(GRANT_MARGIN_SECONDS * 1_000, life / 2)
        wish.resolve({ grant, freshUntil: received + life - margin })
      }
    } catch (error) {
      used = [...reported, ...used]
      if (batch.length > 1 && isDecision(error)) {
        // One of them was refused and all with it: by themselves the others may be granted.
        for (const wish of batch) await ask([wish])
        return
      }
      for (const wish of batch) {
        if (wish.wanted.method === 'PUT') open.delete(wish.wanted.id)
        wish.reject(error)
      }
    }
  }

  function pump(): void {
    planned = false
    while (asking < questionsAtOnce && wishes.length > 0) {
      const batch = nextWishes()
      if (batch.length === 0) return
      asking++
      ask(batch).finally(() => {
        asking--
        plan()
      })
    }
  }

  /** Wishes of the same turn travel together. */
  function plan(): void {
    if (planned) return
    planned = true
    setImmediate(pump)
  }

  return {
    take(wanted) {
      const { promise, resolve, reject } = Promise.withResolvers<HeldGrant>()
      wishes.push({ wanted, resolve, reject })
      plan()
      return promise
    },
    used(id) {
      open.delete(id)
      used.push(id)
      plan()
    },
    outstanding,
  }
}
