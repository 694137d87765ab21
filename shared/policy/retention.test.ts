import { describe, expect, it } from 'vitest'
import { DAY, HOUR } from '../clock.ts'
import { type Candidate, decide, judge, retention } from './retention.ts'
import { parseSpan, spanBefore, spanOfLabel, spanText } from './span.ts'

const NOON = Date.UTC(2026, 2, 31, 12)
const NOW = NOON + HOUR

function daily(count: number, more: Partial<Candidate> = {}): Candidate[] {
  return Array.from({ length: count }, (_, n) => ({
    id: String(n).padStart(64, '0'),
    time: NOON - n * DAY,
    receivedAt: NOON - n * DAY,
    tags: [],
    held: false,
    unclaimed: false,
    succeeded: true,
    ...more,
  }))
}
const guards = { minimum: 1, floor: NOON - 2 * DAY }
const forgotten = (judged: ReturnType<typeof decide>) =>
  judged.filter(({ reasons }) => reasons.length === 0).map(({ snapshot }) => Number(snapshot.id))

describe('a span', () => {
  it.each(['', '0d', 'd', '1', '1d1y', '-1d', '1.5d', '1w', '99999999999h'])(
    'is not %j',
    (text) => {
      expect(spanText.safeParse(text).success).toBe(false)
    },
  )

  it('goes back on the calendar, past ends of months as days that do not exist', () => {
    expect(new Date(spanBefore(NOON, parseSpan('1m'))).toISOString()).toBe(
      '2026-03-03T12:00:00.000Z',
    )
    expect(new Date(spanBefore(NOON, parseSpan('1y1m1d1h'))).toISOString()).toBe(
      '2025-03-02T11:00:00.000Z',
    )
  })

  it.each([
    ['30days', '30d'],
    ['30', '30d'],
    [' 2 weeks ', '14d'],
    ['6 Months', '6m'],
    ['7y', '7y'],
    ['48h', '48h'],
    ['0days', undefined],
    ['forever', undefined],
    ['30 fortnights', undefined],
  ])('is read from the label %j', (label, span) => {
    expect(spanOfLabel(label)).toBe(span)
  })
})

describe('retention in a policy', () => {
  it('that keeps nothing is refused', () => {
    expect(retention.safeParse({}).success).toBe(false)
    expect(retention.safeParse({ minimum: 3 }).success).toBe(false)
    expect(retention.safeParse({ 'keep-last': 0 }).success).toBe(false)
    expect(retention.safeParse({ 'keep-daily': 7 }).data).toEqual({ 'keep-daily': 7, minimum: 1 })
  })
})

describe('judging', () => {
  it('counts spans back from the newest snapshot that is not in the future', () => {
    const [future, ...rest] = daily(10)
    const set = [{ ...future!, time: NOON + 400 * DAY }, ...rest]
    const kept = judge(set, { 'keep-within': '3d' }, NOW).filter((one) => one.reasons.length > 0)
    expect(kept).toHaveLength(4)
  })

  it('keeps all when every snapshot is in the future', () => {
    expect(judge(daily(3), { 'keep-within': '1h' }, NOON - 9 * DAY)).toSatisfy((all: unknown[]) =>
      (all as { reasons: string[] }[]).every(({ reasons }) => reasons.length === 1),
    )
  })
})

describe('deciding', () => {
  it('keeps what any policy keeps, and nothing else', () => {
    const judged = decide(daily(10), [{ 'keep-last': 3 }, { 'keep-within': '5d' }], guards, NOW)
    expect(forgotten(judged)).toEqual([5, 6, 7, 8, 9])
  })

  it('keeps everything where no policy covers the source, or one without rules does', () => {
    expect(forgotten(decide(daily(10), [], guards, NOW))).toEqual([])
    expect(forgotten(decide(daily(10), [{ 'keep-last': 1 }, undefined], guards, NOW))).toEqual([])
  })

  it('never goes below the minimum, whatever the times say', () => {
    const judged = decide(daily(10), [{ 'keep-last': 1 }], { ...guards, minimum: 6 }, NOW)
    expect(forgotten(judged)).toEqual([6, 7, 8, 9])
  })

  it('never forgets the last one, even a failed one alone', () => {
    const old = daily(1, { time: NOON - 900 * DAY, receivedAt: NOON - 900 * DAY, succeeded: false })
    expect(
      forgotten(decide(old, [{ 'keep-tag': [['none']] }], { minimum: 0, floor: 0 }, NOW)),
    ).toEqual([])
  })

  it('never forgets the newest that succeeded', () => {
    const set = daily(10).map((one, n) => ({ ...one, succeeded: n >= 7 }))
    expect(forgotten(decide(set, [{ 'keep-last': 2 }], guards, NOW))).toEqual([2, 3, 4, 5, 6, 8, 9])
  })

  it('never forgets what was received after the floor, however old it says it is', () => {
    const set = daily(10).map((one) => ({ ...one, receivedAt: NOON - HOUR }))
    expect(forgotten(decide(set, [{ 'keep-last': 1 }], guards, NOW))).toEqual([])
  })

  it('never forgets a held snapshot', () => {
    const set = daily(10).map((one, n) => ({ ...one, held: n === 8 }))
    expect(forgotten(decide(set, [{ 'keep-last': 5 }], guards, NOW))).toEqual([5, 6, 7, 9])
  })

  it('neither forgets nor counts foreign snapshots that nothing claimed', () => {
    const set = daily(10).map((one, n) => ({ ...one, unclaimed: n % 2 === 0 }))
    expect(forgotten(decide(set, [{ 'keep-last': 2 }], guards, NOW))).toEqual([5, 7, 9])
  })
})
