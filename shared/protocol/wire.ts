// The only place where a frame becomes a value or a value a frame.
import type * as z from 'zod'
import { HoldfastError } from '../errors.ts'

/** Longest frame on the socket, in UTF-16 code units: 1 MiB. */
export const MAX_FRAME = 1 << 20

/** Parses and checks one frame. Throws `too-large` or `invalid` with the field's name, never its value. */
export function decodeFrame<T>(schema: z.ZodType<T>, text: string): T {
  if (text.length > MAX_FRAME) {
    throw new HoldfastError(
      'too-large',
      `frame of ${text.length} characters; the limit is ${MAX_FRAME}`,
    )
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new HoldfastError('invalid', 'frame is not JSON')
  }
  return checkShape(schema, value, 'frame')
}

/** Checks, then writes, one frame: a frame we could not read ourselves never leaves. */
export function encodeFrame<T>(schema: z.ZodType<T>, value: T): string {
  const text = JSON.stringify(checkShape(schema, value, 'frame'))
  if (text.length > MAX_FRAME) {
    throw new HoldfastError(
      'too-large',
      `frame of ${text.length} characters; the limit is ${MAX_FRAME}`,
    )
  }
  return text
}

/** `value` as the schema says, or `invalid` naming each field and its rule (values are left out: they may be secret). */
export function checkShape<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const problems = result.error.issues
    .slice(0, 5)
    .map((issue) => `${issue.path.length === 0 ? what : issue.path.join('.')}: ${issue.message}`)
  throw new HoldfastError('invalid', problems.join('; '))
}
