// Events that must reach the control plane: kept on disk from the moment they happen until acknowledged.
import * as z from 'zod'
import type { Clock } from '../../shared/clock.ts'
import { formatInstant } from '../../shared/clock.ts'
import { id } from '../../shared/ids.ts'
import { type AgentEvent, agentEvent } from '../../shared/protocol/calls.ts'
import { AppendLog } from '../state/append-log.ts'
import type { Reserve } from '../state/reserve.ts'

/** Events of one request; what the protocol allows. */
export const EVENTS_PER_REQUEST = 100
/** Notices of one code that are kept; a flapping engine must not fill the disk. */
const NOTICES_PER_CODE = 100
/** The file is written anew when more than this lies in it and most of it is acknowledged, in bytes. */
const COMPACT_BYTES = 2 ** 20

const record = z.object({
  boot: id,
  seq: z.int().min(1),
  at: z.iso.datetime(),
  event: agentEvent,
})
export type OutboxRecord = z.infer<typeof record>

export interface Outbox {
  /** Keep an event. When this returns it is durable. */
  add(event: AgentEvent): void
  /** The oldest events, all of one boot, at most a hundred. Empty when there is nothing to send. */
  next(): readonly OutboxRecord[]
  /** Everything of `boot` up to `seq` has arrived and is forgotten. */
  acknowledge(boot: string, seq: number): void
  /** Resolves as soon as there is something to send. */
  waiting(): Promise<void>
  readonly size: number
  close(): void
}

/** State that the newest event of its kind says in full, so that older unsent ones say nothing more. */
function supersedes(newer: AgentEvent, older: AgentEvent): boolean {
  return newer.kind === older.kind && newer.kind !== 'notice'
}

export function openOutbox(deps: { path: string; reserve: Reserve; boot: string; clock: Clock }): {
  outbox: Outbox
  torn: number
} {
  const { log, records, torn } = AppendLog.open(deps.path, deps.reserve)
  let pending = records.flatMap((value) => {
    const parsed = record.safeParse(value)
    return parsed.success ? [parsed.data] : [] // written by another version: nothing we could send
  })
  let seq = Math.max(0, ...pending.filter((r) => r.boot === deps.boot).map((r) => r.seq))
  /** Up to this record of our boot a request may be under way: those stay as they are. */
  let lent = 0
  let wake: (() => void)[] = []

  function dropOld(event: AgentEvent): void {
    const free = (r: OutboxRecord) => r.boot !== deps.boot || r.seq > lent
    pending = pending.filter((r) => !(free(r) && supersedes(event, r.event)))
    if (event.kind !== 'notice') return
    const same = pending.filter(
      (r) => r.event.kind === 'notice' && r.event.code === event.code && free(r),
    )
    const surplus = new Set(same.slice(0, Math.max(0, same.length - NOTICES_PER_CODE + 1)))
    pending = pending.filter((r) => !surplus.has(r))
  }

  function compact(): void {
    const bytes = pending.reduce((sum, r) => sum + JSON.stringify(r).length, 0)
    if (pending.length === 0 || (log.length > COMPACT_BYTES && bytes < log.length / 2)) {
      // If we die here, old events are sent once more; their sequence numbers tell them apart.
      if (log.length > 0) log.rewrite(pending)
    }
  }

  const outbox: Outbox = {
    add(event) {
      const entry = { boot: deps.boot, seq: ++seq, at: formatInstant(deps.clock.now()), event }
      log.append(entry)
      dropOld(event)
      pending.push(entry)
      compact()
      const woken = wake
      wake = []
      for (const resolve of woken) resolve()
    },
    next() {
      const boot = pending[0]?.boot
      const batch = pending.slice(0, EVENTS_PER_REQUEST).filter((r) => r.boot === boot)
      if (boot === deps.boot) lent = Math.max(lent, batch.at(-1)!.seq)
      return batch
    },
    acknowledge(boot, upTo) {
      pending = pending.filter((r) => r.boot !== boot || r.seq > upTo)
      compact()
    },
    waiting() {
      if (pending.length > 0) return Promise.resolve()
      return new Promise((resolve) => wake.push(resolve))
    },
    get size() {
      return pending.length
    },
    close: () => log.close(),
  }
  return { outbox, torn }
}
