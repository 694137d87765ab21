// Telling somebody outside.
import type { Alert } from '../../shared/alert/alert.ts'
import type { ChannelSecret, ChannelSettings } from '../../shared/alert/channel.ts'

export interface NotifierTarget {
  readonly settings: ChannelSettings
  readonly secret: ChannelSecret
}

/**
 * `retry`: it may work later. `failed`: it will not. `gone`: the far side wants no more of it, ever.
 * `error` is in our words: no URL, no secret, nothing the far side wrote.
 */
export type NotifierResult =
  | { readonly state: 'delivered' }
  | { readonly state: 'retry' | 'failed' | 'gone'; readonly error: string }

/**
 * Sends one alert once: whoever calls retries. `messageId` is the same for every attempt of one
 * delivery, so that receivers can drop the second of two. Takes at most 30 s and never rejects for
 * what the far side or the network did.
 */
export interface Notifier {
  send(target: NotifierTarget, alert: Alert, messageId: string): Promise<NotifierResult>
}
