// New audit events, stamped by the control plane's own clock.
import { type AuditEvent, auditEvent } from '../../shared/audit/event.ts'
import { type Clock, formatInstant, type Random } from '../../shared/clock.ts'
import { newId } from '../../shared/ids.ts'

export type EventFacts = Omit<AuditEvent, 'v' | 'id' | 'at'>

/** An event that happened now. Throws a ZodError when a fact breaks the event's shape: that is a fault of ours. */
export function newEvent(deps: { clock: Clock; random: Random }, facts: EventFacts): AuditEvent {
  return auditEvent.parse({
    v: 1,
    id: newId(deps.clock, deps.random),
    at: formatInstant(deps.clock.now()),
    ...facts,
  })
}
