// One delivery of one alert to one channel, as a queue message.
import { newId } from '../../shared/ids.ts'
import type { OutgoingMessage } from '../ports/store/trace.ts'
import type { Basics } from './deps.ts'

/** Topic of deliveries; the body is the delivery's id. */
export const DELIVERY_TOPIC = 'delivery'

export function deliveryMessage(deps: Basics, delivery: string): OutgoingMessage {
  const now = deps.clock.now()
  const id = newId(deps.clock, deps.random)
  return { id, topic: DELIVERY_TOPIC, body: delivery, visibleAt: now, createdAt: now }
}
