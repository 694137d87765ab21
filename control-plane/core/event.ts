// New audit events, stamped by the control plane's own clock.
import { type AuditEvent, auditEvent } from '../../shared/audit/event.ts'
import { type Clock, formatInstant, type Random } from '../../shared/clock.ts'
import { newId } from '../../shared/ids.ts'

export type EventFacts = Omit<AuditEvent, 'v' | 'id' | 'at'>

/** Longest text among the facts of an event: a path may be longer by its prefix. */
const MAX_TEXT = 4_096

/** An event that happened now. Texts among its details are cut to their limit. Throws a ZodError when a fact breaks the event's shape: that is a fault of ours. */
export function newEvent(deps: { clock: Clock; random: Random }, facts: EventFacts): AuditEvent {
  return auditEvent.parse({
    v: 1,
    id: newId(deps.clock, deps.random),
    at: formatInstant(deps.clock.now()),
    ...facts,
    details: Object.fromEntries(
      Object.entries(facts.details).map(([name, value]) => [
        name,
        typeof value === 'string' ? value.slice(0, MAX_TEXT) : value,
      ]),
    ),
  })
}
