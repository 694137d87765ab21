// The schedule on a clock of its own, over a real database: every slot ends as a run or as a miss, once.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createPolicies } from '../../control-plane/core/policies.ts'
import { createScheduler, passedSlots } from '../../control-plane/core/scheduler.ts'
import type { PoliciesStore } from '../../control-plane/ports/store/policies.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../../shared/clock.ts'
import { policyDocument } from '../../shared/policy/document.ts'
import { nextFires } from '../../shared/policy/schedule.ts'
import { identity, openRig, type Rig, type SeededHost } from './rig.ts'

let rig: Rig
beforeEach(async () => {
  rig = await openRig({ start: Date.parse('2026-03-01T12:00:00Z') })
})
afterEach(() => rig.close())

function scheduler(store: PoliciesStore = rig.stores.policies) {
  const { clock, random, stores } = rig
  return createScheduler({ clock, random, policies: store, fleet: stores.fleet })
}

async function apply(cron: string, timezone = 'UTC', name = 'nightly'): Promise<void> {
  const { clock, random, stores } = rig
  const policies = createPolicies({
    clock,
    random,
    store: stores.policies,
    fleet: stores.fleet,
    applied: async () => {},
  })
  const document = policyDocument.parse({
    apiVersion: 'holdfast/v1',
    kind: 'Policy',
    name,
    select: { volumes: ['*'] },
    schedule: { cron, timezone },
  })
  await policies.apply(document, undefined, identity('admin'))
}

interface Row {
  id: string
  source: string
  slot: string
  state: string
  outcome: string | null
  reason: string | null
}

async function jobs(): Promise<Row[]> {
  const found = await rig.database.read(
    `SELECT id, source, slot_at, state, outcome, reason FROM jobs ORDER BY slot_at, source, id`,
  )
  return found.rows.map((row) => ({
    id: String(row.id),
    source: String(row.source),
    slot: new Date(Number(row.slot_at)).toISOString().replace('.000Z', 'Z'),
    state: String(row.state),
    outcome: row.outcome as string | null,
    reason: row.reason as string | null,
  }))
}

const brief = (rows: Row[]) => rows.map(({ id: _, ...row }) => row)

/** As if the host had carried out everything that waits. */
async function carryOut(): Promise<void> {
  await rig.database.write([
    {
      sql: `UPDATE jobs SET state = 'finished', attempt = 1, outcome = 'succeeded', reason = 'completed', finished_at = ? WHERE state = 'queued'`,
      args: [rig.clock.now()],
    },
  ])
}

async function alive(host: SeededHost): Promise<void> {
  await rig.database.write([
    { sql: 'UPDATE hosts SET last_seen = ? WHERE id = ?', args: [rig.clock.now(), host.id] },
  ])
}

async function alerts(): Promise<{ message: string; reason: string; hostname: string }[]> {
  const found = await rig.database.read(`SELECT body FROM queue WHERE topic = 'alert' ORDER BY id`)
  return found.rows.map((row) => JSON.parse(String(row.body)))
}

describe('a slot that comes', () => {
  it('becomes one job per source, with its parameters, an event and no alert', async () => {
    const host = await rig.host('web-1', [{ name: 'data', project: 'shop' }, 'logs'])
    await apply('0 13 * * *')
    const at = rig.clock.now()
    expect(await scheduler().tick(at)).toEqual({ queued: 0, missed: 0, hosts: [] })
    rig.clock.advance(HOUR + 3 * SECOND)
    await alive(host)
    const tick = await scheduler().tick(rig.clock.now())
    expect(tick).toEqual({ queued: 2, missed: 0, hosts: [host.id] })
    const [data, logs] = await jobs()
    expect(brief([data!, logs!])).toEqual([
      {
        source: 'volume:data',
        slot: '2026-03-01T13:00:00Z',
        state: 'queued',
        outcome: null,
        reason: null,
      },
      {
        source: 'volume:logs',
        slot: '2026-03-01T13:00:00Z',
        state: 'queued',
        outcome: null,
        reason: null,
      },
    ])
    const job = await rig.stores.jobRequests.get(data!.id)
    expect(job).toMatchObject({ policyName: 'nightly', requestedBy: 'system' })
    expect(job?.parameters).toMatchObject({
      kind: 'backup',
      source: { kind: 'volume', name: 'data' },
      tags: [`job:${data!.id}`, 'policy:nightly', 'app:shop'],
    })
    expect(await alerts()).toEqual([])
    const log = await rig.database.read(
      `SELECT action FROM audit WHERE actor = 'system' AND action <> 'vault.added' ORDER BY seq`,
    )
    expect(log.rows.map((row) => row.action)).toEqual(['policy.due', 'job.queued', 'job.queued'])
  })

  it('is taken once however often one asks', async () => {
    const host = await rig.host('web-1', ['data'])
    await apply('0 13 * * *')
    rig.clock.advance(HOUR)
    await alive(host)
    for (let i = 0; i < 5; i++) await scheduler().tick(rig.clock.now())
    expect(await jobs()).toHaveLength(1)
  })

  it('is taken once by two control planes that ask at the same moment', async () => {
    const host = await rig.host('web-1', ['a', 'b', 'c'])
    await apply('*/5 * * * *')
    for (let slot = 0; slot < 20; slot++) {
      rig.clock.advance(5 * MINUTE)
      await alive(host)
      const ticks = await Promise.all([
        scheduler().tick(rig.clock.now()),
        scheduler().tick(rig.clock.now()),
        scheduler().tick(rig.clock.now()),
      ])
      expect(ticks.reduce((sum, tick) => sum + tick.queued, 0)).toBe(3)
      await carryOut()
    }
    expect(await jobs()).toHaveLength(60)
  })

  it('with nothing to back up moves the policy on and says so', async () => {
    await apply('0 13 * * *')
    rig.clock.advance(HOUR)
    expect(await scheduler().tick(rig.clock.now())).toEqual({ queued: 0, missed: 0, hosts: [] })
    const policy = await rig.stores.policies.find('nightly')
    expect(policy?.nextAt).toBe(Date.parse('2026-03-02T13:00:00Z'))
  })
})

describe('a slot that nobody ran', () => {
  it('while the plane was down is recorded and told once; only the newest is caught up', async () => {
    const host = await rig.host('web-1', ['data'])
    await apply('0 * * * *')
    rig.clock.advance(5 * HOUR + 10 * MINUTE)
    await alive(host)
    expect(await scheduler().tick(rig.clock.now())).toMatchObject({ queued: 1, missed: 4 })
    await scheduler().tick(rig.clock.now())
    const rows = await jobs()
    expect(rows.map(({ slot, outcome, reason }) => [slot.slice(11, 16), outcome, reason])).toEqual([
      ['13:00', 'missed', 'plane-was-down'],
      ['14:00', 'missed', 'plane-was-down'],
      ['15:00', 'missed', 'plane-was-down'],
      ['16:00', 'missed', 'plane-was-down'],
      ['17:00', null, null],
    ])
    const told = await alerts()
    expect(told).toHaveLength(1)
    expect(told[0]?.message).toBe(
      '4 backups of volume:data on web-1 by policy "nightly", due between 2026-03-01T13:00:00.000Z and 2026-03-01T16:00:00.000Z, did not happen: the control plane did not run when it was due.',
    )
  })

  it('because its host stayed offline becomes missed at the next slot, with one alert per host', async () => {
    await rig.host('web-1', ['a', 'b'])
    await apply('0 * * * *')
    rig.clock.advance(HOUR)
    expect(await scheduler().tick(rig.clock.now())).toMatchObject({ queued: 2, missed: 0 })
    rig.clock.advance(HOUR)
    expect(await scheduler().tick(rig.clock.now())).toMatchObject({ queued: 2, missed: 2 })
    expect(brief((await jobs()).filter(({ state }) => state === 'finished'))).toEqual([
      {
        source: 'volume:a',
        slot: '2026-03-01T13:00:00Z',
        state: 'finished',
        outcome: 'missed',
        reason: 'host-offline',
      },
      {
        source: 'volume:b',
        slot: '2026-03-01T13:00:00Z',
        state: 'finished',
        outcome: 'missed',
        reason: 'host-offline',
      },
    ])
    const told = await alerts()
    expect(told).toHaveLength(1)
    expect(told[0]).toMatchObject({ hostname: 'web-1', reason: 'host-offline' })
    expect(told[0]?.message).toBe(
      '2 backups of 2 sources on web-1 by policy "nightly", due at 2026-03-01T13:00:00.000Z, did not happen: the host was not connected when it was due.',
    )
  })

  it('because the run before still waits on a busy host leaves that run its place', async () => {
    const host = await rig.host('web-1', ['data'])
    await apply('0 * * * *')
    for (let i = 0; i < 3; i++) {
      rig.clock.advance(HOUR)
      await alive(host)
      await scheduler().tick(rig.clock.now())
    }
    expect(
      (await jobs()).map(({ slot, state, reason }) => [slot.slice(11, 16), state, reason]),
    ).toEqual([
      ['13:00', 'queued', null],
      ['14:00', 'finished', 'previous-still-running'],
      ['15:00', 'finished', 'previous-still-running'],
    ])
  })

  it('keeps one run waiting behind one that is going on', async () => {
    const host = await rig.host('web-1', ['data'])
    await apply('0 * * * *')
    rig.clock.advance(HOUR)
    await alive(host)
    await scheduler().tick(rig.clock.now())
    await rig.database.write([`UPDATE jobs SET state = 'running', attempt = 1`])
    rig.clock.advance(HOUR)
    await alive(host)
    expect(await scheduler().tick(rig.clock.now())).toMatchObject({ queued: 1, missed: 0 })
  })

  it('of a very long outage is recorded up to a hundred times, and says that there was more', async () => {
    const host = await rig.host('web-1', ['data'])
    await apply('* * * * *')
    rig.clock.advance(3 * HOUR)
    await alive(host)
    expect(await scheduler().tick(rig.clock.now())).toMatchObject({ queued: 1, missed: 100 })
    expect((await alerts()).map(({ reason }) => reason).sort()).toEqual([
      'plane-was-down',
      'previous-still-running',
    ])
    expect((await alerts())[0]?.message).toContain(
      'Earlier slots of this outage are not listed one by one.',
    )
  })
})

describe('when a job starts between looking and writing', () => {
  it('writes nothing, and decides anew at the next tick', async () => {
    await rig.host('web-1', ['data'])
    await apply('0 * * * *')
    rig.clock.advance(HOUR)
    await scheduler().tick(rig.clock.now())
    rig.clock.advance(HOUR)
    const store = rig.stores.policies
    const started: PoliciesStore = {
      ...store,
      async pending(policy) {
        const found = await store.pending(policy)
        await rig.database.write([`UPDATE jobs SET state = 'running', attempt = 1`])
        return found
      },
    }
    expect(await scheduler(started).tick(rig.clock.now())).toMatchObject({ queued: 0, missed: 0 })
    expect(brief(await jobs()).map(({ state }) => state)).toEqual(['running'])
    expect(await scheduler().tick(rig.clock.now())).toMatchObject({ queued: 1, missed: 0 })
    expect(await alerts()).toEqual([])
  })

  it('one policy that fails holds up no other', async () => {
    const host = await rig.host('web-1', ['data'])
    await apply('0 * * * *', 'UTC', 'aaa')
    await apply('0 * * * *', 'UTC', 'bbb')
    rig.clock.advance(HOUR)
    await alive(host)
    const broken = (await rig.stores.policies.find('aaa'))!.id
    const store: PoliciesStore = {
      ...rig.stores.policies,
      pending: (policy) =>
        policy === broken
          ? Promise.reject(new Error('the disk is gone'))
          : rig.stores.policies.pending(policy),
    }
    await expect(scheduler(store).tick(rig.clock.now())).rejects.toThrow(
      '1 of 2 due policies failed',
    )
    expect(await jobs()).toHaveLength(1)
  })
})

describe('many days in a zone that changes its clocks, with a process that dies at random', () => {
  it('accounts for every slot exactly once', async () => {
    const host = await rig.host('web-1', ['data'])
    const zone = 'Europe/Berlin'
    await apply('30 2,14 * * *', zone)
    const from = rig.clock.now()
    const dies = (step: number) => rig.random.bytes(1)[0]! % 4 === step
    for (let hour = 0; hour < 24 * 30; hour++) {
      rig.clock.advance(HOUR)
      // The host is away every fifth day, the plane every seventh.
      const day = Math.floor((rig.clock.now() - from) / DAY)
      if (day % 5 !== 4) await alive(host)
      if (day % 7 === 6) continue
      const store = rig.stores.policies
      const dying: PoliciesStore = {
        ...store,
        async advance(step, trace) {
          if (dies(0)) throw new Error('killed before the write')
          const done = await store.advance(step, trace)
          if (dies(1)) throw new Error('killed after the write')
          return done
        },
      }
      await scheduler(dying)
        .tick(rig.clock.now())
        .catch(() => undefined)
      if (day % 5 !== 4) await carryOut()
    }
    await scheduler().tick(rig.clock.now())
    const schedule = { cron: '30 2,14 * * *', timezone: zone }
    const expected = nextFires(schedule, from, 1_000)
      .filter((at) => at <= rig.clock.now())
      .map((at) => new Date(at).toISOString().replace('.000Z', 'Z'))
    const rows = await jobs()
    expect(rows.map(({ slot }) => slot)).toEqual(expected)
    expect(expected.length).toBe(60)
    expect(rows.filter(({ state }) => state === 'queued').length).toBeLessThanOrEqual(1)
    const reasons = new Set(rows.map(({ reason }) => reason))
    expect(reasons).toContain('completed')
    expect(reasons).toContain('host-offline')
    expect(reasons).toContain('plane-was-down')
    const events = await rig.database.read(
      `SELECT COUNT(*) AS n FROM audit WHERE action IN ('job.queued', 'job.finished') AND job IN (SELECT id FROM jobs WHERE outcome = 'missed')`,
    )
    const missed = rows.filter(({ outcome }) => outcome === 'missed')
    const onceQueued = await rig.database.read(
      `SELECT COUNT(*) AS n FROM audit WHERE action = 'job.queued' AND job IN (SELECT id FROM jobs WHERE outcome = 'missed')`,
    )
    expect(Number(events.rows[0]!.n) - Number(onceQueued.rows[0]!.n)).toBe(missed.length)
  })
})

describe('a very long outage of a very busy schedule', () => {
  it('costs no more than a short one', () => {
    const now = Date.parse('2027-03-01T12:00:00Z')
    const schedule = { cron: '* * * * * *', timezone: 'Europe/Berlin' }
    const began = performance.now()
    const passed = passedSlots(schedule, now - 365 * DAY, now)
    expect(performance.now() - began).toBeLessThan(2_000)
    expect(passed).toMatchObject({ newest: now, unlisted: true, next: now + SECOND })
    expect(passed.slots).toEqual(Array.from({ length: 100 }, (_, i) => now - (100 - i) * SECOND))
  })

  it('lists every slot of one that is not', () => {
    const now = Date.parse('2026-03-03T12:30:00Z')
    const passed = passedSlots(
      { cron: '0 12 * * *', timezone: 'UTC' },
      now - 2 * DAY - 30 * MINUTE,
      now,
    )
    expect(passed.slots.map((at) => new Date(at).getUTCDate())).toEqual([1, 2])
    expect(passed).toMatchObject({ newest: now - 30 * MINUTE, unlisted: false })
  })
})

describe('a large fleet', () => {
  it('queues 2,500 jobs of one slot in one batch', async () => {
    const volumes = Array.from({ length: 50 }, (_, i) => `volume-${i}`)
    for (let i = 0; i < 50; i++) await rig.host(`host-${i}`, volumes)
    await apply('0 13 * * *')
    rig.clock.advance(HOUR)
    const tick = await scheduler().tick(rig.clock.now())
    expect(tick.queued).toBe(2_500)
    expect(await jobs()).toHaveLength(2_500)
  })
})
