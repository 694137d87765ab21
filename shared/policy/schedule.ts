// When a schedule fires. Pure: no timers, no clock.
import { Cron } from 'croner'
import { HOUR, type Instant } from '../clock.ts'

export interface Schedule {
  /** Five fields, six with seconds first, or `@hourly … @yearly`. */
  readonly cron: string
  /** An IANA zone. */
  readonly timezone: string
}

/** How far ahead a change of the clocks matters: no zone has ever shifted by more at once, bar date-line moves. */
const LONGEST_SHIFT = 3 * HOUR

/**
 * The first moment after `after` at which the schedule fires, or undefined if it never does again.
 *
 * A change of the clocks neither doubles nor skips a run:
 * - times that the clocks jump over fire together, once, at the moment of the jump;
 * - times that come twice fire the first time only;
 * - a schedule for every hour (`*` in the hour field) simply follows real time through both.
 */
export function nextFire(schedule: Schedule, after: Instant): Instant | undefined {
  const offset = offsetsOf(schedule.timezone)
  const everyHour = runsEveryHour(schedule.cron)
  // The calculator runs on wall time written as if it were UTC; only the mapping below knows of zones.
  const wallClock = new Cron(schedule.cron, { paused: true, timezone: 'UTC' })
  const ahead = firstAfter(after, wallClock, after + offset(after), offset, everyHour)
  const backwards = offset(after) - offset(after + LONGEST_SHIFT)
  if (backwards <= 0 || ahead === undefined || offset(ahead) === offset(after)) return ahead
  // Clocks go back before `ahead`: a wall time that has passed may come a second time before it.
  const again = after + offset(after) - backwards
  return firstAfter(after, wallClock, again, offset, everyHour)
}

/**
 * The first moment after `after` at which a wall time later than `wall` fires. The first found is the
 * first of all: within one pass of the clocks, moments follow wall times.
 */
function firstAfter(
  after: Instant,
  wallClock: Cron,
  wall: number,
  offset: (at: Instant) => number,
  everyHour: boolean,
): Instant | undefined {
  for (let next = wallClock.nextRun(new Date(wall)); next; next = wallClock.nextRun(next)) {
    const found = instantsOf(next.getTime(), offset, everyHour).find((fire) => fire > after)
    if (found !== undefined) return found
  }
  return undefined
}

/** The next `count` moments, for previews. */
export function nextFires(schedule: Schedule, after: Instant, count: number): Instant[] {
  const fires: Instant[] = []
  for (let at = nextFire(schedule, after); at !== undefined; at = nextFire(schedule, at)) {
    if (fires.length >= count) break
    fires.push(at)
  }
  return fires
}

/** The moments at which a wall time fires, earliest first: usually one. */
function instantsOf(
  wall: number,
  offset: (at: Instant) => number,
  everyHour: boolean,
): readonly Instant[] {
  const before = offset(wall - LONGEST_SHIFT - 12 * HOUR)
  const candidates = new Set([
    before,
    offset(wall - before),
    offset(wall + 12 * HOUR + LONGEST_SHIFT),
  ])
  const real = [...candidates]
    .filter((candidate) => offset(wall - candidate) === candidate)
    .map((candidate) => wall - candidate)
    .sort((a, b) => a - b)
  if (real.length === 0) return everyHour ? [] : [momentOfJump(wall, offset)]
  return everyHour ? real : real.slice(0, 1)
}

/** The moment the clocks jump over `wall`, to the second, by bisection. */
function momentOfJump(wall: number, offset: (at: Instant) => number): Instant {
  let low = wall - offset(wall - 24 * HOUR) - LONGEST_SHIFT
  let high = low + 2 * LONGEST_SHIFT
  const old = offset(low)
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (offset(middle) === old) low = middle
    else high = middle
  }
  return high
}

function runsEveryHour(cron: string): boolean {
  const text = cron.trim().toLowerCase()
  if (text.startsWith('@')) return text === '@hourly'
  return ['*', '?', '*/1', '0-23'].includes(text.split(/\s+/).at(-4) ?? '')
}

const formatters = new Map<string, Intl.DateTimeFormat>()

/** Milliseconds that wall clocks of the zone are ahead of UTC at a moment. */
function offsetsOf(timezone: string): (at: Instant) => number {
  let format = formatters.get(timezone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: timezone,
      hourCycle: 'h23',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    formatters.set(timezone, format)
  }
  const formatter = format
  return (at) => {
    const second = Math.floor(at / 1_000) * 1_000
    const part: Record<string, number> = {}
    for (const { type, value } of formatter.formatToParts(second)) part[type] = Number(value)
    const wall = Date.UTC(
      part.year!,
      part.month! - 1,
      part.day!,
      part.hour!,
      part.minute!,
      part.second!,
    )
    return wall - second
  }
}
