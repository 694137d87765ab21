import { describe, expect, it } from 'vitest'
import { DAY, HOUR, MINUTE } from '../clock.ts'
import { nextFire, nextFires } from './schedule.ts'

function fires(cron: string, timezone: string, from: string, count: number): string[] {
  return nextFires({ cron, timezone }, Date.parse(from), count).map((at) =>
    new Date(at).toISOString().replace('.000Z', 'Z'),
  )
}

describe('next fire of a schedule', () => {
  it('is strictly after the given moment', () => {
    const noon = Date.parse('2026-05-01T12:00:00Z')
    expect(nextFire({ cron: '0 12 * * *', timezone: 'UTC' }, noon)).toBe(noon + DAY)
    expect(nextFire({ cron: '0 12 * * *', timezone: 'UTC' }, noon - 1)).toBe(noon)
  })

  it('reads six fields with seconds first and the @ words', () => {
    expect(fires('*/20 * * * * *', 'UTC', '2026-05-01T12:00:00Z', 3)).toEqual([
      '2026-05-01T12:00:20Z',
      '2026-05-01T12:00:40Z',
      '2026-05-01T12:01:00Z',
    ])
    expect(fires('@daily', 'Europe/Berlin', '2026-10-24T12:00:00Z', 3)).toEqual([
      '2026-10-24T22:00:00Z',
      '2026-10-25T23:00:00Z',
      '2026-10-26T23:00:00Z',
    ])
    expect(fires('@weekly', 'UTC', '2026-05-01T12:00:00Z', 1)).toEqual(['2026-05-03T00:00:00Z'])
    expect(fires('@yearly', 'UTC', '2026-05-01T12:00:00Z', 1)).toEqual(['2027-01-01T00:00:00Z'])
  })

  it('waits years for a leap day and says so when nothing ever comes', () => {
    expect(fires('0 0 29 2 *', 'UTC', '2026-03-01T00:00:00Z', 2)).toEqual([
      '2028-02-29T00:00:00Z',
      '2032-02-29T00:00:00Z',
    ])
    expect(nextFire({ cron: '0 0 31 2 *', timezone: 'UTC' }, 0)).toBeUndefined()
  })
})

describe('clocks going forward', () => {
  it('runs a jumped-over time once, at the moment of the jump', () => {
    expect(fires('30 2 * * *', 'America/New_York', '2026-03-07T12:00:00Z', 2)).toEqual([
      '2026-03-08T07:00:00Z',
      '2026-03-09T06:30:00Z',
    ])
  })

  it('runs several jumped-over times together, once', () => {
    expect(fires('0,30 2 * * *', 'America/New_York', '2026-03-07T12:00:00Z', 3)).toEqual([
      '2026-03-08T07:00:00Z',
      '2026-03-09T06:00:00Z',
      '2026-03-09T06:30:00Z',
    ])
    expect(fires('0 2,3 * * *', 'America/New_York', '2026-03-07T12:00:00Z', 2)).toEqual([
      '2026-03-08T07:00:00Z',
      '2026-03-09T06:00:00Z',
    ])
  })

  it('handles a jump at midnight, of half an hour, and of a whole day', () => {
    expect(fires('0 0 * * *', 'Africa/Cairo', '2026-04-22T12:00:00Z', 3)).toEqual([
      '2026-04-22T22:00:00Z',
      '2026-04-23T22:00:00Z',
      '2026-04-24T21:00:00Z',
    ])
    expect(fires('15 2 * * *', 'Australia/Lord_Howe', '2026-10-02T20:00:00Z', 2)).toEqual([
      '2026-10-03T15:30:00Z',
      '2026-10-04T15:15:00Z',
    ])
  })

  it('lets an hourly schedule follow real time', () => {
    expect(fires('30 * * * *', 'America/New_York', '2026-03-08T05:45:00Z', 3)).toEqual([
      '2026-03-08T06:30:00Z',
      '2026-03-08T07:30:00Z',
      '2026-03-08T08:30:00Z',
    ])
  })
})

describe('clocks going back', () => {
  it('runs a repeated time once, the first time', () => {
    expect(fires('30 1 * * *', 'America/New_York', '2026-10-31T12:00:00Z', 2)).toEqual([
      '2026-11-01T05:30:00Z',
      '2026-11-02T06:30:00Z',
    ])
    expect(fires('45 1 * * *', 'Australia/Lord_Howe', '2026-04-04T00:00:00Z', 2)).toEqual([
      '2026-04-04T14:45:00Z',
      '2026-04-05T15:15:00Z',
    ])
  })

  it('runs a schedule for every hour in both hours', () => {
    const quarter = fires('*/15 * * * *', 'America/New_York', '2026-11-01T04:45:00Z', 9)
    expect(quarter[0]).toBe('2026-11-01T05:00:00Z')
    expect(quarter.at(-1)).toBe('2026-11-01T07:00:00Z')
  })

  it('stays quick for a schedule of every second', () => {
    const started = performance.now()
    const seconds = nextFires(
      { cron: '* * * * * *', timezone: 'America/New_York' },
      Date.parse('2026-11-01T05:58:00Z'),
      300,
    )
    expect(seconds.at(-1)! - seconds[0]!).toBe(299_000)
    expect(performance.now() - started).toBeLessThan(5_000)
  })
})

describe('over ten years in zones with odd clocks', () => {
  const zones = [
    'America/New_York',
    'Europe/Berlin',
    'Australia/Lord_Howe',
    'Africa/Casablanca',
    'Asia/Kolkata',
  ]
  for (const timezone of zones) {
    it(`a daily schedule in ${timezone} fires on every local day, once`, () => {
      const day = new Intl.DateTimeFormat('en-CA', { timeZone: timezone })
      const from = Date.parse('2024-01-01T12:00:00Z')
      const runs = nextFires({ cron: '30 2 * * *', timezone }, from, 3_650)
      const days = runs.map((at) => day.format(at))
      expect(new Set(days).size).toBe(runs.length)
      for (let i = 1; i < runs.length; i++) {
        expect(runs[i]! - runs[i - 1]!).toBeGreaterThan(DAY - 2 * HOUR)
        expect(runs[i]! - runs[i - 1]!).toBeLessThan(DAY + 2 * HOUR)
      }
    })
  }

  it('a schedule of every five minutes never leaves or takes an interval', () => {
    const from = Date.parse('2026-10-24T00:00:00Z')
    const runs = nextFires({ cron: '*/5 * * * *', timezone: 'Europe/Berlin' }, from, 600)
    for (let i = 1; i < runs.length; i++) expect(runs[i]! - runs[i - 1]!).toBe(5 * MINUTE)
  })
})
