// The audit log for those who read it. Reading leaves a trace of its own.
import type { AuditEvent } from '../../shared/audit/event.ts'
import { formatInstant } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type { AuditEntry, AuditFilter, AuditStore } from '../ports/store/audit.ts'
import type { FleetStore } from '../ports/store/fleet.ts'
import { actorOf, type Identity } from './access.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'

/** Entries read per step of an export: ≤ 64 KiB each, so that an export never holds more than 16 MiB. */
const EXPORT_STEP = 250

export type AuditLog = ReturnType<typeof createAuditLog>

export interface ReadEntry {
  readonly seq: number
  readonly event: AuditEvent
}

export function createAuditLog(
  deps: Basics & { store: AuditStore; fleet: Pick<FleetStore, 'host'> },
) {
  const { store } = deps

  /** Host names become ids; ids of removed hosts stay good, because the log outlives them. */
  async function resolve(filter: AuditFilter): Promise<AuditFilter> {
    if (filter.host === undefined) return filter
    return { ...filter, host: (await deps.fleet.host(filter.host))?.id ?? filter.host }
  }

  async function note(filter: AuditFilter, format: string, by: Identity): Promise<void> {
    const { since, until, ...rest } = filter
    const wanted = Object.entries(rest).filter(([, value]) => value !== undefined)
    await store.record(
      newEvent(deps, {
        actor: actorOf(by),
        action: 'audit.read',
        target: 'audit:log',
        outcome: 'ok',
        details: {
          format,
          ...(since === undefined ? {} : { since: formatInstant(since) }),
          ...(until === undefined ? {} : { until: formatInstant(until) }),
          ...Object.fromEntries(wanted),
        },
      }),
    )
  }

  return {
    /** One page, newest first; `cursor` is what the page before gave as `next`. */
    async page(
      wanted: AuditFilter & { cursor?: string | undefined; limit: number },
      by: Identity,
    ): Promise<{ entries: ReadEntry[]; next: string | undefined }> {
      const { cursor, limit, ...asked } = wanted
      const before = cursor === undefined ? Number.MAX_SAFE_INTEGER : Number(cursor)
      if (!Number.isSafeInteger(before) || before < 0) {
        throw new HoldfastError('invalid', 'cursor: is not one this listing gave')
      }
      const filter = await resolve(asked)
      await note(filter, 'page', by)
      const found = await store.backwards(filter, before, limit + 1)
      const page = found.slice(0, limit)
      return {
        entries: page.map(({ seq, entry }) => ({ seq, event: JSON.parse(entry) as AuditEvent })),
        next: found.length > page.length ? String(page.at(-1)?.seq) : undefined,
      }
    },

    /**
     * Everything that matches, oldest first, up to the moment of asking: a few entries in memory at a time.
     * The reading is noted before the first entry is given.
     */
    async export(
      asked: AuditFilter,
      format: string,
      by: Identity,
    ): Promise<AsyncIterable<readonly AuditEntry[]>> {
      const filter = await resolve(asked)
      const upTo = await store.newest()
      await note(filter, format, by)
      return (async function* () {
        let after = -1
        for (;;) {
          const entries = await store.forwards(filter, after, upTo, EXPORT_STEP)
          const last = entries.at(-1)
          if (last === undefined) return
          yield entries
          after = last.seq
        }
      })()
    },
  }
}
