// The first words on a connection. Every past and future version must be able to read them, so
// unknown fields are allowed here, and nowhere else.
import * as z from 'zod'
import { utf8 } from '../bytes.ts'
import { id } from '../ids.ts'

export const hello = z.object({
  type: z.literal('hello'),
  protocol: z.int().min(1).max(1_000_000),
  host: id,
  /** Made anew at each start of the agent. */
  boot: id,
  /** Tells two machines with one key apart: a hash of the machine's own id. */
  machine: z.string().min(1).max(128),
  version: z.string().max(64),
})
export type Hello = z.infer<typeof hello>

export const challenge = z.object({
  type: z.literal('challenge'),
  nonce: z.string().regex(/^[0-9a-f]{64}$/),
  /** Server time, RFC 3339. */
  time: z.string().max(64),
})
export type Challenge = z.infer<typeof challenge>

export const prove = z.object({
  type: z.literal('prove'),
  host: id,
  boot: id,
  nonce: z.string().regex(/^[0-9a-f]{64}$/),
  /** Ed25519 over `connectBytes`, 128 hex digits. */
  signature: z.string().regex(/^[0-9a-f]{128}$/),
})
export type Prove = z.infer<typeof prove>

export const welcome = z.object({
  type: z.literal('welcome'),
  protocol: z.int().min(1),
  /** Bearer of the HTTPS calls; bound to host and boot. */
  session: z.string().min(16).max(256),
  sessionSeconds: z.int().min(1),
  time: z.string().max(64),
})
export type Welcome = z.infer<typeof welcome>

export const reject = z.object({
  type: z.literal('reject'),
  code: z.string().max(64),
  message: z.string().max(1_000),
  retryAfterSeconds: z.int().min(0).optional(),
})
export type Reject = z.infer<typeof reject>

/**
 * What the agent signs to prove its key: origin of the control plane as the agent knows it, so that
 * a man in between with another name cannot pass the answer on.
 */
export function connectBytes(challenged: {
  origin: string
  host: string
  nonce: string
  time: string
}): Uint8Array {
  const { origin, host, nonce, time } = challenged
  return utf8(`holdfast-connect/1\n${origin}\n${host}\n${nonce}\n${time}\n`)
}
