// Times as Go writes them: RFC 3339 with up to nine digits of fraction. Inside, nanoseconds since 1970 as bigint.
import { damaged } from './errors.ts'

/** Nanoseconds since 1970-01-01T00:00:00Z; negative before. */
export type Nanoseconds = bigint

const second = 1_000_000_000n

/** Go's zero time, 0001-01-01T00:00:00Z, which a missing field means. */
export const zeroTime: Nanoseconds = -62_135_596_800n * second

export function fromMilliseconds(ms: number): Nanoseconds {
  return BigInt(Math.trunc(ms)) * 1_000_000n
}

/** Always in UTC. Years outside 0–9999 are clamped as restic clamps them, month and time of day kept. */
export function formatTime(time: Nanoseconds): string {
  let fraction = time % second
  if (fraction < 0n) fraction += second
  return formatSeconds(Number((time - fraction) / second), Number(fraction))
}

/** As `formatTime`, of whole seconds since 1970 and the nanoseconds of the rest (0 to 999,999,999). */
export function formatSeconds(seconds: number, nanoseconds: number): string {
  const text = wholeSeconds(seconds)
  if (nanoseconds === 0) return `${text}Z`
  let digits = nanoseconds
  let width = 9
  for (; digits % 10 === 0; width--) digits /= 10
  return `${text}.${String(digits).padStart(width, '0')}Z`
}

/** Seconds whose text is kept: files of one directory are often written within few of them. */
const keptSeconds = 64
const secondsOf: (number | undefined)[] = Array.from({ length: keptSeconds })
const textOf: string[] = []

function wholeSeconds(seconds: number): string {
  const slot = Math.abs(seconds) % keptSeconds
  if (secondsOf[slot] === seconds) return textOf[slot]!
  const date = new Date(seconds * 1000)
  const year = date.getUTCFullYear()
  if (year < 0) date.setUTCFullYear(0)
  if (year > 9999) date.setUTCFullYear(9999)
  const text = date.toISOString().slice(0, 19)
  secondsOf[slot] = seconds
  textOf[slot] = text
  return text
}

const shape =
  /^(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:[.,](\d+))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/

/** Any zone is understood; digits beyond nanoseconds are cut off. Rejects with `damaged`. */
export function parseTime(value: unknown, what: string): Nanoseconds {
  if (value === undefined) return zeroTime
  const match = typeof value === 'string' ? shape.exec(value) : null
  const ms = match === null ? Number.NaN : Date.parse(`${match[1]}${match[3]}`)
  if (match === null || Number.isNaN(ms)) throw damaged(`${what} is not an RFC 3339 time`)
  const fraction = match[2] === undefined ? 0n : BigInt(match[2].slice(0, 9).padEnd(9, '0'))
  return BigInt(ms) * 1_000_000n + fraction
}
