// Where alerts go. What is secret about a channel is sealed at rest and never shown again.
import * as z from 'zod'
import { plainName } from '../ids.ts'
import { level } from './alert.ts'

/** Least and most bytes of a webhook's signing secret (Standard Webhooks). */
const MIN_SECRET_BYTES = 24
const MAX_SECRET_BYTES = 64
const MAX_URL = 2_048

/** `whsec_` and standard base64 of the key. */
export const webhookSecret = z
  .string()
  .regex(/^whsec_[A-Za-z0-9+/]{32,88}={0,2}$/, 'must be whsec_ and base64 of 24 to 64 bytes')
  .refine((text) => {
    const digits = text.slice('whsec_'.length).replace(/=+$/, '').length
    const bytes = Math.floor((digits * 3) / 4)
    return bytes >= MIN_SECRET_BYTES && bytes <= MAX_SECRET_BYTES
  }, 'must be whsec_ and base64 of 24 to 64 bytes')

const url = z.url({ protocol: /^https?$/ }).max(MAX_URL)
/** One address; nothing that could end a header line. */
const mailbox = z.email().max(254)

const common = {
  name: plainName,
  /** Alerts below this level are not sent here. */
  minimumLevel: level.default('info'),
}

export const newChannel = z.discriminatedUnion('kind', [
  z.strictObject({
    ...common,
    kind: z.literal('webhook'),
    url,
    /** Made by the control plane, and shown once, if left out. */
    secret: webhookSecret.optional(),
  }),
  z.strictObject({ ...common, kind: z.literal('slack'), url }),
  z.strictObject({
    ...common,
    kind: z.literal('email'),
    host: z
      .string()
      .min(1)
      .max(253)
      .regex(/^[A-Za-z0-9.:-]+$/, 'must be a host name or address'),
    port: z.int().min(1).max(65_535).default(587),
    /** `implicit`: from the first byte (465); `starttls`: required after the greeting; `none`: loopback only. */
    tls: z.enum(['implicit', 'starttls', 'none']).default('starttls'),
    user: z.string().min(1).max(320).optional(),
    password: z.string().min(1).max(1_024).optional(),
    from: mailbox,
    to: z.array(mailbox).min(1).max(20),
  }),
])
export type NewChannel = z.infer<typeof newChannel>
export type ChannelKind = NewChannel['kind']

/** What is kept and shown in the clear. */
export const channelSettings = z.discriminatedUnion('kind', [
  /** The host alone: paths and queries of webhooks are often the secret itself. */
  z.strictObject({ kind: z.literal('webhook'), host: z.string() }),
  z.strictObject({ kind: z.literal('slack'), host: z.string() }),
  z.strictObject({
    kind: z.literal('email'),
    host: z.string(),
    port: z.int(),
    tls: z.enum(['implicit', 'starttls', 'none']),
    user: z.string().nullable(),
    from: z.string(),
    to: z.array(z.string()),
  }),
])
export type ChannelSettings = z.infer<typeof channelSettings>

/** What is sealed. */
export const channelSecret = z.strictObject({
  url: z.string().optional(),
  secret: z.string().optional(),
  password: z.string().optional(),
})
export type ChannelSecret = z.infer<typeof channelSecret>

export const deliveryStates = ['pending', 'delivered', 'failed'] as const
export const deliveryState = z.enum(deliveryStates)
export type DeliveryState = z.infer<typeof deliveryState>
