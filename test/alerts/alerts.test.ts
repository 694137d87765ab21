// Alerts from the change that raises them to the receiver: real database and queue, a clock that is moved by hand.
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { recordTrace } from '../../control-plane/adapters/libsql/change.ts'
import { type Database, openDatabase } from '../../control-plane/adapters/libsql/client.ts'
import { createQueue } from '../../control-plane/adapters/libsql/queue.ts'
import { createAlertsStore } from '../../control-plane/adapters/libsql/store/alerts.ts'
import { createSilenceStore } from '../../control-plane/adapters/libsql/store/silence.ts'
import type { Identity } from '../../control-plane/core/access.ts'
import { createAlertChannels } from '../../control-plane/core/alert-channels.ts'
import { alertMessage } from '../../control-plane/core/alert-message.ts'
import { createAlerts, waitAfter } from '../../control-plane/core/alerts.ts'
import { newEvent } from '../../control-plane/core/event.ts'
import { createSecretBox } from '../../control-plane/core/secret-box.ts'
import { createSilentHosts } from '../../control-plane/core/silent-hosts.ts'
import type { NotifierResult, NotifierTarget } from '../../control-plane/ports/notifier.ts'
import type { AlertsStore } from '../../control-plane/ports/store/alerts.ts'
import type { Alert, AlertType } from '../../shared/alert/alert.ts'
import { newChannel } from '../../shared/alert/channel.ts'
import { DAY, HOUR, MINUTE, SECOND } from '../../shared/clock.ts'
import { createMemoryClock, createSeededRandom, type MemoryClock } from '../support/memory-clock.ts'

const admin: Identity = { token: '0123456789abcdef', name: 'admin', role: 'admin' }
const CANARY = 'canary-9f8e7d6c'

let directory: string
let database: Database
let clock: MemoryClock
let world: Awaited<ReturnType<typeof createWorld>>

async function createWorld(meddle: (store: AlertsStore) => AlertsStore = (store) => store) {
  const random = createSeededRandom('alerts')
  const sent: { at: number; id: string; alert: Alert; target: NotifierTarget }[] = []
  const faults: Error[] = []
  const answers = { next: (): NotifierResult => ({ state: 'delivered' }) }
  const notifier = {
    async send(target: NotifierTarget, alert: Alert, id: string) {
      sent.push({ at: clock.now(), id, alert, target })
      return answers.next()
    },
  }
  const basics = { clock, random }
  const store = meddle(createAlertsStore(database))
  const secretBox = await createSecretBox({
    masterKeys: [new Uint8Array(32).fill(7)],
    random: { bytes: (length) => new Uint8Array(randomBytes(length)) },
  })
  const channels = createAlertChannels({ ...basics, store, secretBox, refusedUrl: () => undefined })
  const alerts = createAlerts({
    ...basics,
    store,
    queue: createQueue(database, basics),
    secretBox,
    notifiers: { webhook: notifier, slack: notifier, email: notifier },
    fault: (error) => faults.push(error),
  })
  return {
    ...{ alerts, channels, store, sent, faults, answers, basics },
    raise(type: AlertType, message = 'Something happened.', facts: Partial<Alert> = {}) {
      const event = newEvent(basics, {
        actor: 'system',
        action: 'job.finished',
        target: 'job:x',
        outcome: 'failed',
        details: {},
      })
      const raised = alertMessage(basics, type, { hostname: 'web-1', message, ...facts })
      return recordTrace(database, { events: [event], messages: [raised] })
    },
    async settle() {
      while ((await alerts.step()) > 0);
    },
  }
}
const hook = (name: string, change: object = {}) =>
  newChannel.parse({ kind: 'webhook', name, url: `https://hooks.example.com/${CANARY}`, ...change })
const all = async () => (await world.alerts.deliveries({ limit: 100 })).items
const actions = async () => {
  const { rows } = await database.read('SELECT action FROM audit ORDER BY seq')
  return rows.map(({ action }) => action)
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-alerts-'))
  database = await openDatabase({ url: `file:${join(directory, 'a.db')}` })
  clock = createMemoryClock()
  world = await createWorld()
})
afterEach(() => {
  database.close()
  rmSync(directory, { recursive: true })
})

describe('routing', () => {
  it('sends an alert to every enabled channel whose level it reaches, once', async () => {
    await world.channels.create(hook('all'), admin)
    await world.channels.create(hook('warnings', { minimumLevel: 'warning' }), admin)
    await world.channels.create(hook('critical', { minimumLevel: 'critical' }), admin)
    await world.raise('job-warning')
    await world.raise('host-back')
    await world.raise('job-failed')
    await world.settle()
    const seen = (await all()).map(({ channelName, alert }) => `${alert.alert_type} ${channelName}`)
    expect(seen.sort()).toEqual([
      'host-back all',
      'job-failed all',
      'job-failed critical',
      'job-failed warnings',
      'job-warning all',
      'job-warning warnings',
    ])
    expect(
      (await all()).every(({ state, attempts }) => state === 'delivered' && attempts === 1),
    ).toBe(true)
    expect(world.sent).toHaveLength(6)
  })

  it('routes an alert once though its message is seen twice', async () => {
    await world.channels.create(hook('all'), admin)
    let fail = true
    const queueStore = createAlertsStore(database)
    const flaky = await createWorld((store) => ({
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
    clock.advance(MINUTE)
    await flaky.settle()
    expect(await all()).toHaveLength(1)
    expect(flaky.sent).toHaveLength(1)
  })

  it('drops a message that is no alert, and says so', async () => {
    await createQueue(database, world.basics).send('alert', '{"not":"an alert"}', 0)
    await world.settle()
    expect(world.faults).toHaveLength(1)
    clock.advance(DAY)
    expect(await world.alerts.step()).toBe(0)
  })
})

describe('delivery', () => {
  it('backs off from ten seconds to an hour, with jitter, and gives up after a day', async () => {
    await world.channels.create(hook('one'), admin)
    world.answers.next = () => ({ state: 'retry', error: 'it answered 500' })
    await world.raise('job-failed')
    const begun = clock.now()
    const delivery = async () => (await all())[0]!
    await world.settle()
    const seen: number[] = [clock.now() - begun]
    for (let guard = 0; guard < 200; guard++) {
      const { state, nextAt } = await delivery()
      if (state !== 'pending') break
      expect(nextAt).toBeGreaterThan(clock.now())
      clock.advance(nextAt! - clock.now() - 1)
      await world.settle()
      expect(world.sent).toHaveLength(seen.length)
      clock.advance(1)
      await world.settle()
      seen.push(clock.now() - begun)
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
    expect((await actions()).filter((action) => action === 'alert.undelivered')).toHaveLength(1)
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
      clock.advance(2 * MINUTE)
    }
    expect(await all()).toMatchObject([{ state: 'delivered', attempts: 4, lastError: null }])
    expect(world.sent.map(({ id }) => id)).toEqual(Array(4).fill(world.sent[0]!.id))
  })

  it('is sent again under the same id when we die between sending and noting it', async () => {
    let die = true
    const real = createAlertsStore(database)
    const dying = await createWorld((store) => ({
      ...store,
      async finishDelivery(...args) {
        if (die) throw new Error('died')
        return real.finishDelivery(...args)
      },
    }))
    await dying.channels.create(hook('one'), admin)
    await dying.raise('job-failed')
    await expect(dying.alerts.step()).rejects.toThrow('died')
    expect((await all())[0]).toMatchObject({ state: 'pending' })
    die = false
    clock.advance(MINUTE)
    await dying.settle()
    expect(dying.sent).toHaveLength(2)
    expect(dying.sent[0]!.id).toBe(dying.sent[1]!.id)
    expect(await all()).toMatchObject([{ state: 'delivered' }])
  })

  it('is not sent again when we die between noting it and acknowledging', async () => {
    const real = createAlertsStore(database)
    let die = true
    const dying = await createWorld((store) => ({
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
    clock.advance(MINUTE)
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
    expect(await actions()).toContain('alert-channel.disabled')
    await expect(world.channels.test('gone', admin)).rejects.toMatchObject({ code: 'conflict' })
  })

  it('fails at once for a channel that was deleted meanwhile, and keeps the record', async () => {
    await world.channels.create(hook('one'), admin)
    world.answers.next = () => ({ state: 'retry', error: 'it answered 500' })
    await world.raise('job-failed')
    await world.settle()
    await world.channels.remove('one', admin)
    clock.advance(HOUR)
    await world.settle()
    expect(await all()).toMatchObject([
      { state: 'failed', channelName: 'one', lastError: 'the channel was deleted' },
    ])
  })

  it('holds up no channel for another that breaks', async () => {
    await world.channels.create(hook('broken'), admin)
    await world.channels.create(hook('sound'), admin)
    await database.write([
      `UPDATE alert_channels SET secret_sealed = 'hfs1.altered' WHERE name = 'broken'`,
    ])
    await world.raise('job-failed')
    await expect(world.alerts.step()).rejects.toMatchObject({ code: 'internal' })
    expect(world.sent).toHaveLength(1)
    const states = (await all()).map(({ channelName, state }) => [channelName, state])
    expect(states.sort()).toEqual([
      ['broken', 'pending'],
      ['sound', 'delivered'],
    ])
  })
})

describe('channels', () => {
  it('make a signing secret once, and show it once', async () => {
    const { secret } = await world.channels.create(hook('made'), admin)
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
    const given = `whsec_${Buffer.alloc(24, 1).toString('base64')}`
    const other = await world.channels.create(hook('given', { secret: given }), admin)
    expect(other.secret).toBeUndefined()
    await world.raise('job-failed')
    await world.settle()
    expect(world.sent.map(({ target }) => target.secret.secret).sort()).toEqual(
      [secret, given].sort(),
    )
  })

  it.each([
    ['whsec_', 'must be whsec_'],
    ['whsec_c2hvcnQ=', 'must be whsec_'],
    [`whsec_${Buffer.alloc(23).toString('base64')}`, '24 to 64 bytes'],
    [`whsec_${Buffer.alloc(65).toString('base64')}`, '24 to 64 bytes'],
    ['secret', 'must be whsec_'],
  ])('refuse the secret %j', (secret, words) => {
    const parsed = newChannel.safeParse({
      kind: 'webhook',
      name: 'a',
      url: 'https://a.example',
      secret,
    })
    expect(parsed.error?.issues.map(({ message }) => message).join()).toContain(words)
  })

  it('ask for TLS to any mail server but our own machine’s', async () => {
    const mail = { kind: 'email', name: 'm', from: 'a@example.com', to: ['b@example.com'] }
    const at = (host: string, change: object = {}) =>
      world.channels.create(newChannel.parse({ ...mail, host, tls: 'none', ...change }), admin)
    await expect(at('mail.example.com')).rejects.toMatchObject({
      code: 'invalid',
      message: 'tls: TLS is required, except to a mail server on loopback',
    })
    await expect(at('127.0.0.1', { user: 'u' })).rejects.toMatchObject({
      message: 'password: user and password come together',
    })
    const { channel } = await at('127.0.0.1')
    expect(channel.settings).toMatchObject({ kind: 'email', port: 587, user: null })
  })

  it('have one name each', async () => {
    await world.channels.create(hook('one'), admin)
    await expect(world.channels.create(hook('one'), admin)).rejects.toMatchObject({
      code: 'already-exists',
    })
    await expect(world.channels.remove('two', admin)).rejects.toMatchObject({ code: 'not-found' })
  })

  it('are tested alone, whatever their level', async () => {
    await world.channels.create(hook('critical', { minimumLevel: 'critical' }), admin)
    await world.channels.create(hook('other'), admin)
    const delivery = await world.channels.test('critical', admin)
    expect(delivery).toMatchObject({ state: 'pending', channelName: 'critical' })
    await world.settle()
    expect(await all()).toMatchObject([
      { id: delivery.id, state: 'delivered', alert: { alert_type: 'test' } },
    ])
  })

  it('keep their secrets out of every table, file and error', async () => {
    const secret = `whsec_${Buffer.from(`${CANARY}-${CANARY}-x`).toString('base64')}`
    await world.channels.create(hook('hook', { secret }), admin)
    await world.channels.create(
      newChannel.parse({ kind: 'slack', name: 'slack', url: `https://hooks.slack.com/${CANARY}` }),
      admin,
    )
    const mail = { host: 'mail.example.com', from: 'a@example.com', to: ['b@example.com'] }
    await world.channels.create(
      newChannel.parse({ kind: 'email', name: 'mail', ...mail, user: 'u', password: CANARY }),
      admin,
    )
    world.answers.next = () => ({ state: 'retry', error: 'it answered 500' })
    await world.raise('job-failed')
    await world.settle()
    for (const file of ['a.db', 'a.db-wal']) {
      const bytes = readFileSync(join(directory, file)).toString('latin1')
      expect(bytes).not.toContain(CANARY)
      expect(bytes).not.toContain(secret)
    }
    expect(JSON.stringify([await world.channels.list(), await all()])).not.toContain(CANARY)
  })
})

describe('listing deliveries', () => {
  it('filters and pages, newest first', async () => {
    await world.channels.create(hook('one'), admin)
    await world.channels.create(hook('two'), admin)
    for (let i = 0; i < 5; i++) {
      clock.advance(SECOND)
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

describe('silent hosts', () => {
  const enrol = (name: string, lastSeen: number | null, change: { removed?: boolean } = {}) => {
    const id = randomUUID()
    return database.write([
      {
        sql: `INSERT INTO hosts (id, name, machine, public_key, recipient, version, enrolled_at, last_seen, removed_at)
              VALUES (?, ?, 'm', ?, 'age1', '1', ?, ?, ?)`,
        args: [id, name, id, clock.now(), lastSeen, change.removed ? clock.now() : null],
      },
    ])
  }
  const silent = async () => {
    const { rows } = await database.read(
      'SELECT name, silent_since FROM hosts WHERE silent_since IS NOT NULL',
    )
    return rows.map(({ name }) => name)
  }
  const raised = async () => {
    const { rows } = await database.read(`SELECT body FROM queue WHERE topic = 'alert'`)
    return rows.map(({ body }) => JSON.parse(String(body)))
  }

  it('are called so after three missed signs of life, once', async () => {
    const watch = createSilentHosts({ ...world.basics, store: createSilenceStore(database) })
    const startedAt = clock.now() - DAY
    await enrol('web-1', clock.now())
    await enrol('web-2', null)
    await enrol('web-3', clock.now(), { removed: true })
    clock.advance(15 * MINUTE)
    expect(await watch.check(startedAt)).toBe(0)
    await database.write([
      { sql: `UPDATE hosts SET last_seen = ? WHERE name = 'web-1'`, args: [clock.now()] },
    ])
    clock.advance(MINUTE)
    expect(await watch.check(startedAt)).toBe(1)
    expect(await silent()).toEqual(['web-2'])
    expect(await watch.check(startedAt)).toBe(0)
    clock.advance(15 * MINUTE)
    expect(await watch.check(startedAt)).toBe(1)
    expect(await raised()).toMatchObject([
      { alert_type: 'host-silent', hostname: 'web-2', level: 'critical' },
      { alert_type: 'host-silent', hostname: 'web-1' },
    ])
    expect((await raised())[0].message).toContain('not been heard of for 16 minutes')
  })

  it('are not blamed for what they said while the control plane was down', async () => {
    const watch = createSilentHosts({ ...world.basics, store: createSilenceStore(database) })
    await enrol('web-1', clock.now() - DAY)
    const startedAt = clock.now()
    clock.advance(15 * MINUTE)
    expect(await watch.check(startedAt)).toBe(0)
    clock.advance(MINUTE)
    expect(await watch.check(startedAt)).toBe(1)
  })

  it('are let off when they are heard of at the last moment', async () => {
    const store = createSilenceStore(database)
    await enrol('web-1', clock.now())
    clock.advance(HOUR)
    const [quiet] = await store.quiet(clock.now())
    await database.write([{ sql: `UPDATE hosts SET last_seen = ?`, args: [clock.now()] }])
    const event = newEvent(world.basics, {
      actor: 'system',
      action: 'host.silent',
      target: 'host:x',
      outcome: 'ok',
      details: {},
    })
    expect(await store.markSilent(quiet!, { events: [event] })).toBe(false)
    expect(await actions()).toEqual([])
  })
})
