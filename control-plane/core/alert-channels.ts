// Channels: made by admins, their secrets sealed, tried by a test alert.
import { alertTypes } from '../../shared/alert/alert.ts'
import type { ChannelSecret, ChannelSettings, NewChannel } from '../../shared/alert/channel.ts'
import { toBase64 } from '../../shared/bytes.ts'
import { formatInstant } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { newId } from '../../shared/ids.ts'
import type { SecretBox } from '../ports/secret-box.ts'
import type { AlertsStore, Channel, Delivery } from '../ports/store/alerts.ts'
import { actorOf, type Identity } from './access.ts'
import { deliveryMessage } from './delivery-message.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import { InvalidFields } from './problem.ts'

/** Bytes of a signing secret that we make. */
const SECRET_BYTES = 32

export interface AlertChannelsDeps extends Basics {
  readonly store: AlertsStore
  readonly secretBox: SecretBox
  /** Why this URL may not be a target, as far as can be told without asking DNS. */
  readonly refusedUrl: (url: string) => string | undefined
}

export type AlertChannels = ReturnType<typeof createAlertChannels>

export function createAlertChannels(deps: AlertChannelsDeps) {
  const { store, clock } = deps

  async function find(idOrName: string): Promise<Channel> {
    const found = await store.channel(idOrName)
    if (found !== undefined) return found
    throw new HoldfastError('not-found', `there is no alert channel "${idOrName}"`)
  }

  return {
    /** `secret`: the signing secret of a webhook if we made it; it is never shown again. */
    async create(
      wanted: NewChannel,
      by: Identity,
    ): Promise<{ channel: Channel; secret: string | undefined }> {
      if (wanted.kind !== 'email') {
        const refused = deps.refusedUrl(wanted.url)
        if (refused !== undefined) throw new InvalidFields([{ path: ['url'], message: refused }])
      }
      const made =
        wanted.kind === 'webhook' && wanted.secret === undefined
          ? `whsec_${toBase64(deps.random.bytes(SECRET_BYTES))}`
          : undefined
      const { settings, secret } = split(wanted, made)
      const id = newId(clock, deps.random)
      const channel: Channel = {
        id,
        name: wanted.name,
        kind: wanted.kind,
        settings,
        secretSealed: await deps.secretBox.seal(JSON.stringify(secret), channelPlace(id)),
        minimumLevel: wanted.minimumLevel,
        createdAt: clock.now(),
        disabledAt: null,
        disabledWhy: null,
      }
      const event = newEvent(deps, {
        actor: actorOf(by),
        action: 'alert-channel.created',
        target: `alert-channel:${channel.name}`,
        outcome: 'ok',
        details: {
          id,
          kind: channel.kind,
          host: settings.host,
          minimum_level: channel.minimumLevel,
        },
      })
      if (await store.insertChannel(channel, { events: [event] })) return { channel, secret: made }
      throw new HoldfastError(
        'already-exists',
        `there is an alert channel "${wanted.name}" already`,
      )
    },

    async list(): Promise<Channel[]> {
      return store.channels()
    },

    async remove(idOrName: string, by: Identity): Promise<void> {
      const channel = await find(idOrName)
      const event = newEvent(deps, {
        actor: actorOf(by),
        action: 'alert-channel.deleted',
        target: `alert-channel:${channel.name}`,
        outcome: 'ok',
        details: { id: channel.id, kind: channel.kind },
      })
      // False: somebody deleted it a moment ago, which is as good.
      await store.removeChannel(channel.id, { events: [event] })
    },

    /** Sends a test alert to this channel alone, whatever its level. Resolves to the delivery, still pending. */
    async test(idOrName: string, by: Identity): Promise<Delivery> {
      const channel = await find(idOrName)
      if (channel.disabledAt !== null) {
        throw new HoldfastError('conflict', `alert channel "${channel.name}" is disabled`, {
          hint: 'delete it and create it again',
        })
      }
      const now = clock.now()
      const delivery = newId(clock, deps.random)
      const alert = {
        id: newId(clock, deps.random),
        alert_type: 'test' as const,
        level: alertTypes.test,
        message: `This is a test of the alert channel "${channel.name}". Nothing is wrong.`,
        hostname: 'control-plane',
        timestamp: formatInstant(now),
      }
      const event = newEvent(deps, {
        actor: actorOf(by),
        action: 'alert-channel.tested',
        target: `alert-channel:${channel.name}`,
        outcome: 'ok',
        details: { alert: alert.id, delivery },
      })
      const trace = { events: [event] as const, messages: [deliveryMessage(deps, delivery)] }
      const wanted = [{ id: delivery, channel: channel.id, channelName: channel.name }]
      await store.insertAlert(alert, wanted, now, trace)
      const stored = await store.delivery(delivery)
      if (stored === undefined) throw new HoldfastError('conflict', 'the test could not be stored')
      return stored
    },
  }
}

/** Where a channel's secret is authenticated to lie. */
export function channelPlace(id: string): string {
  return `alert_channels/${id}/secret`
}

/** What is shown, and what is sealed. */
function split(
  wanted: NewChannel,
  made: string | undefined,
): { settings: ChannelSettings; secret: ChannelSecret } {
  if (wanted.kind === 'email') {
    const { host, port, tls, user, password, from, to } = wanted
    if ((user === undefined) !== (password === undefined)) {
      throw new InvalidFields([{ path: ['password'], message: 'user and password come together' }])
    }
    if (tls === 'none' && !/^(?:127\.\d+\.\d+\.\d+|::1|localhost)$/.test(host)) {
      throw new InvalidFields([
        { path: ['tls'], message: 'TLS is required, except to a mail server on loopback' },
      ])
    }
    return {
      settings: { kind: 'email', host, port, tls, user: user ?? null, from, to },
      secret: password === undefined ? {} : { password },
    }
  }
  const { host } = new URL(wanted.url)
  if (wanted.kind === 'slack') {
    return { settings: { kind: 'slack', host }, secret: { url: wanted.url } }
  }
  const secret = wanted.secret ?? made
  return {
    settings: { kind: 'webhook', host },
    secret: { url: wanted.url, ...(secret === undefined ? {} : { secret }) },
  }
}
