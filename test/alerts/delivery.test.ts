// Alerts from the change that raises them to the receiver.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createQueue } from '../../control-plane/adapters/libsql/queue.ts'
import { createAlertsStore } from '../../control-plane/adapters/libsql/store/alerts.ts'
import { waitAfter } from '../../control-plane/core/alerts.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../../shared/clock.ts'
import { createSeededRandom } from '../support/memory-clock.ts'
import { type AlertWorld, admin, hook, openAlertWorld } from './world.ts'

let world: AlertWorld
beforeEach(async () => {
  world = await openAlertWorld()
})
afterEach(() => world.close())

describe('routing', () => {
  it('sends an alert to every enabled channel whose level it reaches, once', async () => {
    await world.channels.create(hook('all'), admin)
    await world.channels.create(hook('warnings', { minimumLevel: 'warning' }), admin)
    await world.channels.create(hook('critical', { minimumLevel: 'critical' }), admin)
    await world.raise('job-warning')
    await world.raise('host-back')
    await world.raise('job-failed')
    await world.settle()
    const seen = (await world.all()).map(
      ({ channelName, alert }) => `${alert.alert_type} ${channelName}`,
    )
    expect(seen.sort()).toEqual([
      'host-back all',
      'job-failed all',
      'job-failed critical',
      'job-failed warnings',
      'job-warning all',
      'job-warning warnings',
    ])
    expect(
      (await world.all()).every(({ state, attempts }) => state === 'delivered' && attempts === 1),
    ).toBe(true)
    expect(world.sent).toHaveLength(6)
  })

  it('routes an alert once though its message is seen twice', async () => {
    await world.channels.create(hook('all'), admin)
    let fail = true
    const queueStore = createAlertsStore(world.database)
    const flaky = await world.again((store) => ({
      ...store,
      async insertAlert(...args) {
        const stored = await queueStore.insertAlert(...args)
        // Stored, but the answer got lost: the process dies before it acknowledges.
        if (fail) throw new Error('died')
        return stored
      },
    }))
    await flaky.raise('job-failed')
    await expect(flaky.alerts.step()).rejects.toThrow('died')
    fail = false
    world.clock.advance(MINUTE)
    await flaky.settle()
    expect(await world.all()).toHaveLength(1)
    expect(flaky.sent).toHaveLength(1)
  })

  it('drops a message that is no alert, and says so', async () => {
    await createQueue(world.database, world.basics).send('alert', '{"not":"an alert"}', 0)
    await world.settle()
    expect(world.faults).toHaveLength(1)
    world.clock.advance(DAY)
    expect(await world.alerts.step()).toBe(0)
  })
})

describe('delivery', () => {
  it('backs off from ten seconds to an hour, with jitter, and gives up after a day', async () => {
    await world.channels.create(hook('one'), admin)
    world.answers.next = () => ({ state: 'retry', error: 'it answered 500' })
    await world.raise('job-failed')
    const begun = world.clock.now()
    const delivery = async () => (await world.all())[0]!
    await world.settle()
    const seen: number[] = [world.clock.now() - begun]
    for (let guard = 0; guard < 200; guard++) {
      const { state, nextAt } = await delivery()
      if (state !== 'pending') break
      expect(nextAt).toBeGreaterThan(world.clock.now())
      world.clock.advance(nextAt! - world.clock.now() - 1)
      await world.settle()
      expect(world.sent).toHaveLength(seen.length)
      world.clock.advance(1)
      await world.settle()
      seen.push(world.clock.now() - begun)
    }
    const waits = world.sent.slice(1).map(({ at }, i) => at - world.sent[i]!.at)
    let full = 10 * SECOND
    for (const wait of waits) {
      expect(wait).toBeGreaterThanOrEqual(full / 2)
      expect(wait).toBeLessThanOrEqual(full)
      full = Math.min(HOUR, full * 2)
    }
    expect(new Set(waits.slice(-10)).size).toBeGreaterThan(5)
    const last = world.sent.at(-1)!.at - begun
    expect(last).toBeLessThan(DAY)
    expect(last).toBeGreaterThan(DAY - 2 * HOUR)
    expect(await delivery()).toMatchObject({
      state: 'failed',
      lastError: 'it answered 500',
      attempts: world.sent.length,
      nextAt: null,
    })
    expect(new Set(world.sent.map(({ id }) => id)).size).toBe(1)
    expect((await world.actions()).filter((action) => action === 'alert.undelivered')).toHaveLength(
      1,
    )
  })

  it('never waits longer than an hour, however often it failed', () => {
    const random = createSeededRandom('waits')
    for (const attempts of [1, 2, 9, 10, 100, 10_000]) {
      const wait = waitAfter(attempts, random)
      expect(wait).toBeGreaterThanOrEqual(5 * SECOND)
      expect(wait).toBeLessThanOrEqual(HOUR)
    }
  })

  it('arrives after a while of failures, under the same id', async () => {
    await world.channels.create(hook('one'), admin)
    let left = 3
    world.answers.next = () =>
      left-- > 0 ? { state: 'retry', error: 'the connection was refused' } : { state: 'delivered' }
    await world.raise('job-failed')
    for (let i = 0; i < 10; i++) {
      await world.settle()
      world.clock.advance(2 * MINUTE)
    }
    expect(await world.all()).toMatchObject([{ state: 'delivered', attempts: 4, lastError: null }])
    expect(world.sent.map(({ id }) => id)).toEqual(Array(4).fill(world.sent[0]!.id))
  })

  it('is sent again under the same id when we die between sending and noting it', async () => {
    let die = true
    const real = createAlertsStore(world.database)
    const dying = await world.again((store) => ({
      ...store,
      async finishDelivery(...args) {
        if (die) throw new Error('died')
        return real.finishDelivery(...args)
      },
    }))
    await dying.channels.create(hook('one'), admin)
    await dying.raise('job-failed')
    await expect(dying.alerts.step()).rejects.toThrow('died')
    expect((await world.all())[0]).toMatchObject({ state: 'pending' })
    die = false
    world.clock.advance(MINUTE)
    await dying.settle()
    expect(dying.sent).toHaveLength(2)
    expect(dying.sent[0]!.id).toBe(dying.sent[1]!.id)
    expect(await world.all()).toMatchObject([{ state: 'delivered' }])
  })

  it('is not sent again when we die between noting it and acknowledging', async () => {
    const real = createAlertsStore(world.database)
    let die = true
    const dying = await world.again((store) => ({
      ...store,
      async finishDelivery(...args) {
        const done = await real.finishDelivery(...args)
        if (die) throw new Error('died')
        return done
      },
    }))
    await dying.channels.create(hook('one'), admin)
    await dying.raise('job-failed')
    await expect(dying.alerts.step()).rejects.toThrow('died')
    die = false
    world.clock.advance(MINUTE)
    await dying.settle()
    expect(dying.sent).toHaveLength(1)
    expect(await dying.alerts.step()).toBe(0)
  })

  it('disables a channel that answered 410, and sends it nothing more', async () => {
    await world.channels.create(hook('gone'), admin)
    world.answers.next = () => ({
      state: 'gone',
      error: 'it answered 410: it wants no more alerts',
    })
    await world.raise('job-failed')
    await world.settle()
    await world.raise('job-failed')
    await world.settle()
    expect(world.sent).toHaveLength(1)
    const [channel] = await world.channels.list()
    expect(channel).toMatchObject({ disabledWhy: 'it answered 410: it wants no more alerts' })
    expect(await world.actions()).toContain('alert-channel.disabled')
    await expect(world.channels.test('gone', admin)).rejects.toMatchObject({ code: 'conflict' })
  })

  it('fails at once for a channel that was deleted meanwhile, and keeps the record', async () => {
    await world.channels.create(hook('one'), admin)
    world.answers.next = () => ({ state: 'retry', error: 'it answered 500' })
    await world.raise('job-failed')
    await world.settle()
    await world.channels.remove('one', admin)
    world.clock.advance(HOUR)
    await world.settle()
    expect(await world.all()).toMatchObject([
      { state: 'failed', channelName: 'one', lastError: 'the channel was deleted' },
    ])
  })

  it('holds up no channel for another that breaks', async () => {
    await world.channels.create(hook('broken'), admin)
    await world.channels.create(hook('sound'), admin)
    await world.database.write([
      `UPDATE alert_channels SET secret_sealed = 'hfs1.altered' WHERE name = 'broken'`,
    ])
    await world.raise('job-failed')
    await expect(world.alerts.step()).rejects.toMatchObject({ code: 'internal' })
    expect(world.sent).toHaveLength(1)
    const states = (await world.all()).map(({ channelName, state }) => [channelName, state])
    expect(states.sort()).toEqual([
      ['broken', 'pending'],
      ['sound', 'delivered'],
    ])
  })
})

describe('listing deliveries', () => {
  it('filters and pages, newest first', async () => {
    await world.channels.create(hook('one'), admin)
    await world.channels.create(hook('two'), admin)
    for (let i = 0; i < 5; i++) {
      world.clock.advance(SECOND)
      await world.raise('job-failed', `number ${i}`, { hostname: i % 2 ? 'odd' : 'even' })
      await world.settle()
    }
    const seen: string[] = []
    let after: string | undefined
    do {
      const page = await world.alerts.deliveries({ channel: 'one', limit: 2, after })
      seen.push(...page.items.map(({ alert }) => alert.message))
      after = page.next
    } while (after !== undefined)
    expect(seen).toEqual([4, 3, 2, 1, 0].map((i) => `number ${i}`))
    expect((await world.alerts.deliveries({ host: 'odd', limit: 10 })).items).toHaveLength(4)
    expect((await world.alerts.deliveries({ state: 'failed', limit: 10 })).items).toEqual([])
  })
})
