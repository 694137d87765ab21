// Shapes that many routes share.
import { z } from '@hono/zod-openapi'
import { formatInstant, type Instant } from '../../shared/clock.ts'
import { PROBLEM_TYPE, problemDocument } from '../../shared/problem.ts'

/** RFC 3339 in UTC with milliseconds. */
export const time = z.string().openapi({ format: 'date-time', example: '2026-01-02T03:04:05.678Z' })

/** A moment as a query parameter, read as milliseconds. */
export const timeQuery = z.iso
  .datetime({ offset: true, message: 'must be a time such as 2026-01-02T03:04:05Z' })
  .transform((text) => Date.parse(text))
  .openapi({ type: 'string', format: 'date-time' })

/** `true` or `false`. */
export const flagQuery = z
  .enum(['true', 'false'])
  .transform((text) => text === 'true')
  .openapi({ type: 'boolean' })

/** A whole number from `low` to `high`. */
export function numberQuery(low: number, high: number) {
  return z
    .string()
    .regex(/^\d{1,15}$/, 'must be a whole number')
    .transform(Number)
    .refine((n) => n >= low && n <= high, `must be from ${low} to ${high}`)
    .openapi({ type: 'integer', minimum: low, maximum: high })
}

/** Most entries of one page. */
export const MAX_PAGE = 500
export const DEFAULT_PAGE = 100
export const limitQuery = numberQuery(1, MAX_PAGE)
export const cursorQuery = z.string().max(256).describe('`next` of the page before')

export const nextCursor = z.string().optional().describe('Cursor of the next page, if there is one')

export function at(instant: Instant): string {
  return formatInstant(instant)
}
export function atOrNull(instant: Instant | null): string | null {
  return instant === null ? null : formatInstant(instant)
}

const problem = (description: string) => ({
  description,
  content: { [PROBLEM_TYPE]: { schema: problemDocument } },
})

/** What every guarded route may answer besides its own. Documented; the guard and the error handler give them. */
export const problems = {
  401: problem('No token, or not a valid one'),
  403: problem('The role does not allow it'),
  422: problem('A field breaks its rule; `fields` names each'),
  429: problem('Too many failed attempts from this address'),
} as const

export function json<T extends z.ZodType>(schema: T, description: string) {
  return { description, content: { 'application/json': { schema } } }
}

export function body<T extends z.ZodType>(schema: T) {
  return { required: true, content: { 'application/json': { schema } } }
}
