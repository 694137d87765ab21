// An alert as the queue message that travels in the same batch as the change that caused it.
import { type Alert, type AlertType, alert, alertTypes } from '../../shared/alert/alert.ts'
import { type Clock, formatInstant, type Random } from '../../shared/clock.ts'
import { newId } from '../../shared/ids.ts'
import type { OutgoingMessage } from '../ports/store/trace.ts'

/** Topic of raised alerts; its consumer turns each into deliveries. */
export const ALERT_TOPIC = 'alert'

/** What fits into an alert; the whole of it stands at the job or in the log. */
const MAX_MESSAGE = 2_000

export type AlertFacts = Omit<Alert, 'id' | 'alert_type' | 'level' | 'timestamp'>

export function alertMessage(
  deps: { clock: Clock; random: Random },
  type: AlertType,
  facts: AlertFacts,
): OutgoingMessage {
  const now = deps.clock.now()
  const id = newId(deps.clock, deps.random)
  const value = alert.parse({
    id,
    alert_type: type,
    level: alertTypes[type],
    timestamp: formatInstant(now),
    ...facts,
    // An alert that is too long is still an alert.
    message: facts.message.slice(0, MAX_MESSAGE),
  })
  return { id, topic: ALERT_TOPIC, body: JSON.stringify(value), visibleAt: now, createdAt: now }
}
