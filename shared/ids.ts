// Names of things: UUIDs that sort by time, and the shapes every edge checks.
import * as z from 'zod'
import { toHex } from './bytes.ts'
import type { Clock, Random } from './clock.ts'

/** UUID version 7 (RFC 9562): 48 bits of milliseconds, then 74 random bits. Not a secret. */
export function newId(clock: Clock, random: Random): string {
  const b = random.bytes(16)
  const now = clock.now()
  for (let i = 0; i < 6; i++) b[i] = Math.floor(now / 2 ** (8 * (5 - i))) & 0xff
  b[6] = (b[6]! & 0x0f) | 0x70
  b[8] = (b[8]! & 0x3f) | 0x80
  const h = toHex(b)
  return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`
}

/** An id made by `newId`. */
export const id = z.uuid({ message: 'must be a UUID' }).lowercase()

/** The SHA-256 of some bytes; also the name of every repository object but `config`. */
export const sha256 = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits')

/** Standard base64 of at most `maxBytes` bytes. */
export function base64Of(maxBytes: number) {
  return z
    .string()
    .max(Math.ceil(maxBytes / 3) * 4, `must hold at most ${maxBytes} bytes`)
    .regex(/^[A-Za-z0-9+/]*={0,2}$/, 'must be standard base64')
}

const ID_SHAPE = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/**
 * A name people give to hosts, vaults, policies and channels: it ends up in tables, tags and file
 * names, so it is short and plain. None has the shape of an id: where either may stand, a host that
 * was enrolled under another's id would be taken for it.
 */
export const plainName = z
  .string()
  .min(1)
  .max(64)
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]*$/,
    'must begin with a letter or digit and hold only letters, digits, dot, underscore and hyphen',
  )
  .refine((name) => !ID_SHAPE.test(name), 'must not look like an id')
