// Channels: what is asked of them, and what of them is never seen again.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { newChannel } from '../../shared/alert/channel.ts'
import { type AlertWorld, admin, CANARY, hook, openAlertWorld } from './world.ts'

let world: AlertWorld
beforeEach(async () => {
  world = await openAlertWorld()
})
afterEach(() => world.close())

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
    expect(await world.all()).toMatchObject([
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
      const bytes = readFileSync(join(world.directory, file)).toString('latin1')
      expect(bytes).not.toContain(CANARY)
      expect(bytes).not.toContain(secret)
    }
    expect(JSON.stringify([await world.channels.list(), await world.all()])).not.toContain(CANARY)
  })
})
