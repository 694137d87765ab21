// Spans of calendar time as restic writes them: `1y5m7d2h`.
import * as z from 'zod'

export interface Span {
  readonly years: number
  readonly months: number
  readonly days: number
  readonly hours: number
}

const SHAPE = /^(?:(\d{1,4})y)?(?:(\d{1,5})m)?(?:(\d{1,6})d)?(?:(\d{1,7})h)?$/

/** `1y5m7d2h`, each part optional, in this order; not empty and not nothing. */
export const spanText = z
  .string()
  .regex(SHAPE, 'must be a span such as 30d, 6m, 1y or 1y5m7d2h')
  .refine((text) => /[1-9]/.test(text), 'must not be nothing')

/** Throws a ZodError on anything that is no span. */
export function parseSpan(text: string): Span {
  const [, years = '0', months = '0', days = '0', hours = '0'] = SHAPE.exec(spanText.parse(text))!
  return { years: Number(years), months: Number(months), days: Number(days), hours: Number(hours) }
}

/** The shortest text of it: parts that are nothing are left out. */
export function formatSpan({ years, months, days, hours }: Span): string {
  const parts = [
    [years, 'y'],
    [months, 'm'],
    [days, 'd'],
    [hours, 'h'],
  ] as const
  return parts.map(([count, unit]) => (count === 0 ? '' : `${count}${unit}`)).join('')
}

/** The moment `span` before `at`, on the UTC calendar; 31 March less a month is 3 March, as 31 February would be. */
export function spanBefore(at: number, span: Span): number {
  const date = new Date(at)
  date.setUTCFullYear(
    date.getUTCFullYear() - span.years,
    date.getUTCMonth() - span.months,
    date.getUTCDate() - span.days,
  )
  return date.getTime() - span.hours * 3_600_000
}

/** A label such as `retention=30days`: the span it means, or undefined if it is none. */
export function spanOfLabel(label: string): string | undefined {
  const [, count, unit] =
    /^\s*([1-9]\d{0,4})\s*(h|hours?|d|days?|w|weeks?|m|months?|y|years?)?\s*$/i.exec(label) ?? []
  if (count === undefined) return undefined
  switch (unit?.[0]?.toLowerCase()) {
    case 'h':
      return `${count}h`
    case 'w':
      return `${Number(count) * 7}d`
    case 'm':
      return `${count}m`
    case 'y':
      return `${count}y`
    default:
      return `${count}d`
  }
}
