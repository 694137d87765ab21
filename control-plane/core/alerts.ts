// Raised alerts become deliveries, and deliveries are tried until they arrive or a day is over.
import { type Alert, alert as alertShape, type Level, levels } from '../../shared/alert/alert.ts'
import { type ChannelKind, channelSecret } from '../../shared/alert/channel.ts'
import {
  DAY,
  type Duration,
  fraction,
  HOUR,
  MINUTE,
  type Random,
  SECOND,
} from '../../shared/clock.ts'
import { newId } from '../../shared/ids.ts'
import type { Notifier, NotifierResult } from '../ports/notifier.ts'
import type { Queue, QueueMessage } from '../ports/queue.ts'
import type { SecretBox } from '../ports/secret-box.ts'
import type { AlertsStore, Channel, Delivery, DeliveryFilter } from '../ports/store/alerts.ts'
import { channelPlace } from './alert-channels.ts'
import { ALERT_TOPIC } from './alert-message.ts'
import { DELIVERY_TOPIC, deliveryMessage } from './delivery-message.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'

/** First wait between attempts, longest wait, and how long a delivery is tried at all. */
const FIRST_WAIT = 10 * SECOND
const LONGEST_WAIT = HOUR
export const DELIVERY_LIFE = DAY
/** Messages taken at once; deliveries of one take are sent side by side. */
const TAKE = 16
/** Longer than any notifier may take: a message is seen twice only after its process died. */
const VISIBILITY = MINUTE

export interface AlertsDeps extends Basics {
  readonly store: AlertsStore
  readonly queue: Queue
  readonly secretBox: SecretBox
  readonly notifiers: Readonly<Record<ChannelKind, Notifier>>
  /** A message that is not one of ours: a fault, said and dropped. */
  readonly fault: (error: Error) => void
}

export type Alerts = ReturnType<typeof createAlerts>

/** Wait after the `attempts`-th failed attempt: 10 s doubling to 1 h, the upper half of it by chance. */
export function waitAfter(attempts: number, random: Random): Duration {
  const full = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(attempts - 1, 20))
  return Math.round(full / 2 + (full / 2) * fraction(random))
}

/** Is an alert of this level for a channel with that minimum? */
export function reaches(level: Level, minimum: Level): boolean {
  return levels.indexOf(level) >= levels.indexOf(minimum)
}

export function createAlerts(deps: AlertsDeps) {
  const { store, queue, clock } = deps

  /** One delivery for each enabled channel that wants alerts of this level. */
  async function route(message: QueueMessage): Promise<void> {
    const parsed = alertShape.safeParse(jsonOf(message.body))
    if (parsed.success) await spread(parsed.data)
    else deps.fault(new TypeError(`queue message ${message.id} is not an alert`))
    // If we die before this, the alert is routed again and found to be known.
    await queue.acknowledge(message)
  }

  async function spread(alert: Alert): Promise<void> {
    const channels = (await store.channels()).filter(
      (channel) => channel.disabledAt === null && reaches(alert.level, channel.minimumLevel),
    )
    const wanted = channels.map((channel) => ({
      id: newId(clock, deps.random),
      channel: channel.id,
      channelName: channel.name,
    }))
    const event = newEvent(deps, {
      actor: 'system',
      action: 'alert.raised',
      target: `alert:${alert.id}`,
      outcome: 'ok',
      ...(alert.job === undefined ? {} : { job: alert.job }),
      details: { type: alert.alert_type, level: alert.level, channels: wanted.length },
    })
    const messages = wanted.map(({ id }) => deliveryMessage(deps, id))
    await store.insertAlert(alert, wanted, clock.now(), { events: [event], messages })
  }

  async function attempt(message: QueueMessage): Promise<void> {
    const delivery = await store.delivery(message.body)
    if (delivery === undefined || delivery.state !== 'pending') {
      // It ended, and whoever ended it died before acknowledging.
      await queue.acknowledge(message)
      return
    }
    const early = (delivery.nextAt ?? 0) - clock.now()
    if (early > 0) {
      await queue.postpone(message, early)
      return
    }
    const channel = await store.channel(delivery.channel)
    const result = await send(channel, delivery)
    const attempts = delivery.attempts + 1
    if (result.state === 'retry') {
      const wait = waitAfter(attempts, deps.random)
      const nextAt = clock.now() + wait
      if (nextAt < delivery.createdAt + DELIVERY_LIFE) {
        await store.noteAttempt(delivery.id, { attempts, error: result.error, nextAt })
        await queue.postpone(message, wait)
        return
      }
    }
    await finish(delivery, attempts, result)
    if (result.state === 'gone' && channel !== undefined) await disable(channel, result.error)
    // If we die before this, the message is seen again and the delivery found to have ended. If we died
    // before `finish`, it is sent again under the same id: at least once, never less.
    await queue.acknowledge(message)
  }

  async function send(channel: Channel | undefined, delivery: Delivery): Promise<NotifierResult> {
    if (channel === undefined) return { state: 'failed', error: 'the channel was deleted' }
    if (channel.disabledAt !== null) return { state: 'failed', error: 'the channel is disabled' }
    const sealed = await deps.secretBox.open(channel.secretSealed, channelPlace(channel.id))
    const secret = channelSecret.parse(JSON.parse(sealed))
    const target = { settings: channel.settings, secret }
    return deps.notifiers[channel.kind].send(target, delivery.alert, delivery.id)
  }

  async function finish(
    delivery: Delivery,
    attempts: number,
    result: NotifierResult,
  ): Promise<void> {
    const delivered = result.state === 'delivered'
    const event = newEvent(deps, {
      actor: 'system',
      action: delivered ? 'alert.delivered' : 'alert.undelivered',
      target: `alert-channel:${delivery.channelName}`,
      outcome: delivered ? 'ok' : 'failed',
      details: {
        alert: delivery.alert.id,
        delivery: delivery.id,
        type: delivery.alert.alert_type,
        attempts,
        ...(delivered ? {} : { error: result.error }),
      },
    })
    const end = {
      state: delivered ? ('delivered' as const) : ('failed' as const),
      attempts,
      error: delivered ? null : result.error,
      at: clock.now(),
    }
    await store.finishDelivery(delivery.id, end, { events: [event] })
  }

  async function disable(channel: Channel, why: string): Promise<void> {
    const event = newEvent(deps, {
      actor: 'system',
      action: 'alert-channel.disabled',
      target: `alert-channel:${channel.name}`,
      outcome: 'ok',
      details: { id: channel.id, why },
    })
    await store.disableChannel(channel.id, clock.now(), why, { events: [event] })
  }

  return {
    /**
     * Routes and sends what is due. Resolves to how many messages it took: 0 means there is nothing to do
     * now. For a timer of about a second; overlapping calls do no harm.
     */
    async step(): Promise<number> {
      const raised = await queue.receive(ALERT_TOPIC, TAKE, VISIBILITY)
      for (const message of raised) await route(message)
      const due = await queue.receive(DELIVERY_TOPIC, TAKE, VISIBILITY)
      const settled = await Promise.allSettled(due.map(attempt))
      // One that broke is seen again after its visibility; the others are not held up by it.
      const broken = settled.find((result) => result.status === 'rejected')
      if (broken !== undefined) throw broken.reason
      return raised.length + due.length
    },

    async deliveries(
      filter: DeliveryFilter,
    ): Promise<{ items: Delivery[]; next: string | undefined }> {
      const found = await store.deliveries({ ...filter, limit: filter.limit + 1 })
      const items = found.slice(0, filter.limit)
      return { items, next: found.length > filter.limit ? items.at(-1)?.id : undefined }
    },
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
