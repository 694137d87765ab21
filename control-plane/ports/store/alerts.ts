// Channels, alerts that were raised, and every delivery of each.
import type { Alert, Level } from '../../../shared/alert/alert.ts'
import type { ChannelKind, ChannelSettings, DeliveryState } from '../../../shared/alert/channel.ts'
import type { Instant } from '../../../shared/clock.ts'
import type { Trace } from './trace.ts'

export interface Channel {
  readonly id: string
  readonly name: string
  readonly kind: ChannelKind
  readonly settings: ChannelSettings
  /** JSON of `channelSecret` in the secret box. */
  readonly secretSealed: string
  readonly minimumLevel: Level
  readonly createdAt: Instant
  readonly disabledAt: Instant | null
  readonly disabledWhy: string | null
}

export interface Delivery {
  readonly id: string
  readonly alert: Alert
  /** The channel's id; it may be gone. */
  readonly channel: string
  readonly channelName: string
  readonly state: DeliveryState
  readonly attempts: number
  /** When it is tried next, while pending. */
  readonly nextAt: Instant | null
  readonly lastError: string | null
  readonly deliveredAt: Instant | null
  readonly createdAt: Instant
}

export interface DeliveryFilter {
  readonly state?: DeliveryState | undefined
  /** Name of the channel. */
  readonly channel?: string | undefined
  readonly alert?: string | undefined
  readonly host?: string | undefined
  /** Only those before this one in the listing. */
  readonly after?: string | undefined
  readonly limit: number
}

export interface NewDelivery {
  readonly id: string
  readonly channel: string
  readonly channelName: string
}

export interface AlertsStore {
  /** By name. */
  channels(): Promise<Channel[]>
  channel(idOrName: string): Promise<Channel | undefined>
  /** False when the name is taken. */
  insertChannel(channel: Channel, trace: Trace): Promise<boolean>
  /** Its deliveries stay. False when it is gone already. */
  removeChannel(id: string, trace: Trace): Promise<boolean>
  /** False when it is disabled already, or gone. */
  disableChannel(id: string, at: Instant, why: string, trace: Trace): Promise<boolean>

  /** Keeps the alert with its deliveries, all pending. False when the alert is known already. */
  insertAlert(
    alert: Alert,
    deliveries: readonly NewDelivery[],
    at: Instant,
    trace: Trace,
  ): Promise<boolean>

  delivery(id: string): Promise<Delivery | undefined>
  /** Newest first. */
  deliveries(filter: DeliveryFilter): Promise<Delivery[]>
  /** An attempt that will be repeated. Without a trace: nothing is decided yet. */
  noteAttempt(
    id: string,
    saw: { readonly attempts: number; readonly error: string; readonly nextAt: Instant },
  ): Promise<void>
  /** The end of a pending delivery. False when it has ended already. */
  finishDelivery(
    id: string,
    end: {
      readonly state: 'delivered' | 'failed'
      readonly attempts: number
      readonly error: string | null
      readonly at: Instant
    },
    trace: Trace,
  ): Promise<boolean>
}
