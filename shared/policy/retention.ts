// Which snapshots are kept, and why. Pure. The words and their meaning are those of restic's `forget`
// (https://restic.readthedocs.io/en/stable/060_forget.html); what Holdfast adds only ever keeps more.
import * as z from 'zod'
import { DAY, type Instant } from '../clock.ts'
import { formatSpan, parseSpan, spanBefore, spanText } from './span.ts'

const count = z.int().min(1).max(100_000)

const keepRules = {
  'keep-last': count.optional().describe('The newest n'),
  'keep-hourly': count.optional().describe('The newest of each of the last n hours that have one'),
  'keep-daily': count.optional().describe('The same for days'),
  'keep-weekly': count.optional().describe('The same for ISO weeks'),
  'keep-monthly': count.optional().describe('The same for months'),
  'keep-yearly': count.optional().describe('The same for years'),
  'keep-within': spanText
    .optional()
    .describe('All that are younger than this, counted from the newest, e.g. 30d or 1y6m'),
  'keep-within-hourly': spanText.optional().describe('One an hour within this span'),
  'keep-within-daily': spanText.optional().describe('One a day within this span'),
  'keep-within-weekly': spanText.optional().describe('One a week within this span'),
  'keep-within-monthly': spanText.optional().describe('One a month within this span'),
  'keep-within-yearly': spanText.optional().describe('One a year within this span'),
  'keep-tag': z
    .array(z.array(z.string().min(1).max(256)).min(1).max(32))
    .min(1)
    .max(32)
    .optional()
    .describe('Those that carry all tags of one of these lists'),
} as const

/** What a policy says of keeping. Rules are OR-ed: what any of them keeps is kept. */
export const retention = z
  .strictObject({
    ...keepRules,
    minimum: z
      .int()
      .min(1)
      .max(10_000)
      .default(1)
      .describe('So many of each source stay whatever the rules say'),
  })
  .refine(
    (rules) =>
      Object.keys(keepRules).some((rule) => rules[rule as keyof typeof keepRules] !== undefined),
    'keeps nothing: give at least one keep-* rule, or leave retention out to keep everything',
  )
export type Retention = z.infer<typeof retention>
export type KeepRules = Omit<Retention, 'minimum'>

/** A snapshot as the rules see it. */
export interface Dated {
  readonly id: string
  /** Its own time, in ms. Its parts are taken in UTC: that is what ours are written in. */
  readonly time: Instant
  readonly tags: readonly string[]
}

/** Reasons to keep one snapshot, in restic's words; none: the rules do not keep it. */
export interface Judgement<S extends Dated> {
  readonly snapshot: S
  readonly reasons: readonly string[]
}

type Part = (time: Instant, position: number) => number | string

/** Monday-based ISO 8601 week with its own year. */
function isoWeek(time: Instant): string {
  const date = new Date(time)
  // The Thursday of a week lies in the year the week belongs to.
  const thursday = Date.UTC(
    date.getUTCFullYear(),
    date.getUTCMonth(),
    date.getUTCDate() + 3 - ((date.getUTCDay() + 6) % 7),
  )
  const year = new Date(thursday).getUTCFullYear()
  return `${year}-${Math.floor((thursday - Date.UTC(year, 0, 1)) / DAY / 7)}`
}
const text = (time: Instant) => new Date(time).toISOString()
const always: Part = (_, position) => position
const hour: Part = (time) => text(time).slice(0, -11)
const day: Part = (time) => text(time).slice(0, -14)
const week: Part = isoWeek
const month: Part = (time) => text(time).slice(0, -17)
const year: Part = (time) => text(time).slice(0, -20)

const counted: readonly (readonly [keyof KeepRules, Part, string])[] = [
  ['keep-last', always, 'last snapshot'],
  ['keep-hourly', hour, 'hourly snapshot'],
  ['keep-daily', day, 'daily snapshot'],
  ['keep-weekly', week, 'weekly snapshot'],
  ['keep-monthly', month, 'monthly snapshot'],
  ['keep-yearly', year, 'yearly snapshot'],
]
const spanned: readonly (readonly [keyof KeepRules, Part, string])[] = [
  ['keep-within-hourly', hour, 'hourly within'],
  ['keep-within-daily', day, 'daily within'],
  ['keep-within-weekly', week, 'weekly within'],
  ['keep-within-monthly', month, 'monthly within'],
  ['keep-within-yearly', year, 'yearly within'],
]

/** Newest first; of equal times the one with the smaller id first. */
export function newestFirst<S extends Dated>(snapshots: readonly S[]): S[] {
  return snapshots.toSorted((a, b) => b.time - a.time || (a.id < b.id ? -1 : 1))
}

/**
 * Judges the snapshots of one group (one host and source) as `restic forget` does, newest first. Spans count
 * back from the newest snapshot that is not in the future of `now`.
 */
export function judge<S extends Dated>(
  snapshots: readonly S[],
  rules: KeepRules,
  now: Instant,
): Judgement<S>[] {
  const sorted = newestFirst(snapshots)
  const latest = sorted.find(({ time }) => time < now)?.time
  const since = (rule: keyof KeepRules): Instant | undefined => {
    const span = rules[rule]
    if (typeof span !== 'string') return undefined
    // With nothing but future snapshots nothing is old.
    return latest === undefined ? Number.NEGATIVE_INFINITY : spanBefore(latest, parseSpan(span))
  }
  const named = (rule: keyof KeepRules) => formatSpan(parseSpan(rules[rule] as string))
  const left = counted.map(([rule]) => (rules[rule] as number | undefined) ?? 0)
  const lastCounted: (number | string | undefined)[] = counted.map(() => undefined)
  const within = since('keep-within')
  const bounds = spanned.map(([rule]) => since(rule))
  const lastSpanned: (number | string | undefined)[] = spanned.map(() => undefined)

  return sorted.map((snapshot, position) => {
    const { time } = snapshot
    const reasons: string[] = []
    for (const tags of rules['keep-tag'] ?? []) {
      if (tags.every((tag) => snapshot.tags.includes(tag)))
        reasons.push(`has tags ${tags.join(',')}`)
    }
    if (within !== undefined && time > within) reasons.push(`within ${named('keep-within')}`)
    for (const [at, [, part, reason]] of counted.entries()) {
      if (left[at] === 0) continue
      const value = part(time, position)
      if (value === lastCounted[at]) continue
      lastCounted[at] = value
      left[at]!--
      reasons.push(reason)
    }
    for (const [at, [rule, part, reason]] of spanned.entries()) {
      const bound = bounds[at]
      if (bound === undefined || time <= bound) continue
      const value = part(time, position)
      if (value === lastSpanned[at]) continue
      lastSpanned[at] = value
      reasons.push(`${reason} ${named(rule)}`)
    }
    return { snapshot, reasons }
  })
}

/** A snapshot with what else decides about it. */
export interface Candidate extends Dated {
  /** When the control plane accepted it: a host cannot forge this one. */
  readonly receivedAt: Instant
  /** Under a legal hold. */
  readonly held: boolean
  /** Made by another program and claimed by no policy yet. */
  readonly unclaimed: boolean
  /** Everything of its source is in it. */
  readonly succeeded: boolean
}

export interface Guards {
  readonly minimum: number
  /** Nothing received after this moment is forgotten. */
  readonly floor: Instant
}

/**
 * What is kept of one source's snapshots, and why, newest first. `policies` are those that cover it: what any of them
 * keeps is kept, and one without rules keeps everything; with none nothing is forgotten.
 */
export function decide<S extends Candidate>(
  snapshots: readonly S[],
  policies: readonly (KeepRules | undefined)[],
  guards: Guards,
  now: Instant,
): Judgement<S>[] {
  const unclaimed = snapshots.filter((snapshot) => snapshot.unclaimed)
  const counted = snapshots.filter((snapshot) => !snapshot.unclaimed)
  const byRules = new Map<string, Set<string>>(counted.map(({ id }) => [id, new Set()]))
  for (const rules of policies) {
    if (rules === undefined) continue
    for (const { snapshot, reasons } of judge(counted, rules, now)) {
      for (const reason of reasons) byRules.get(snapshot.id)?.add(reason)
    }
  }
  const everything =
    policies.length === 0
      ? 'no policy covers it'
      : policies.includes(undefined)
        ? 'a policy without retention covers it'
        : undefined
  const newest = newestFirst(counted)
  const good = newest.find(({ succeeded }) => succeeded)
  const judged = newest.map((snapshot, position) => {
    const reasons = [...byRules.get(snapshot.id)!]
    if (everything !== undefined) reasons.push(everything)
    if (snapshot.held) reasons.push('held')
    if (snapshot.receivedAt > guards.floor) reasons.push('younger than the retention floor')
    if (position < Math.max(1, guards.minimum)) reasons.push('minimum')
    if (snapshot === good) reasons.push('newest that succeeded')
    return { snapshot, reasons }
  })
  const others = unclaimed.map((snapshot) => ({ snapshot, reasons: ['foreign, not claimed'] }))
  return [...judged, ...others].sort(
    (a, b) => b.snapshot.time - a.snapshot.time || (a.snapshot.id < b.snapshot.id ? -1 : 1),
  )
}
