// Hosts that are not heard of.
import { randomUUID } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSilenceStore } from '../../control-plane/adapters/libsql/store/silence.ts'
import { newEvent } from '../../control-plane/core/event.ts'
import { createSilentHosts } from '../../control-plane/core/silent-hosts.ts'
import { DAY, HOUR, MINUTE } from '../../shared/clock.ts'
import { type AlertWorld, openAlertWorld } from './world.ts'

let world: AlertWorld
beforeEach(async () => {
  world = await openAlertWorld()
})
afterEach(() => world.close())

describe('silent hosts', () => {
  const enrol = (name: string, lastSeen: number | null, change: { removed?: boolean } = {}) => {
    const id = randomUUID()
    return world.database.write([
      {
        sql: `INSERT INTO hosts (id, name, machine, public_key, recipient, version, enrolled_at, last_seen, removed_at)
              VALUES (?, ?, 'm', ?, 'age1', '1', ?, ?, ?)`,
        args: [
          id,
          name,
          id,
          world.clock.now(),
          lastSeen,
          change.removed ? world.clock.now() : null,
        ],
      },
    ])
  }
  const silent = async () => {
    const { rows } = await world.database.read(
      'SELECT name, silent_since FROM hosts WHERE silent_since IS NOT NULL',
    )
    return rows.map(({ name }) => name)
  }
  const raised = async () => {
    const { rows } = await world.database.read(`SELECT body FROM queue WHERE topic = 'alert'`)
    return rows.map(({ body }) => JSON.parse(String(body)))
  }

  it('are called so after three missed signs of life, once', async () => {
    const watch = createSilentHosts({ ...world.basics, store: createSilenceStore(world.database) })
    const startedAt = world.clock.now() - DAY
    await enrol('web-1', world.clock.now())
    await enrol('web-2', null)
    await enrol('web-3', world.clock.now(), { removed: true })
    world.clock.advance(15 * MINUTE)
    expect(await watch.check(startedAt)).toBe(0)
    await world.database.write([
      { sql: `UPDATE hosts SET last_seen = ? WHERE name = 'web-1'`, args: [world.clock.now()] },
    ])
    world.clock.advance(MINUTE)
    expect(await watch.check(startedAt)).toBe(1)
    expect(await silent()).toEqual(['web-2'])
    expect(await watch.check(startedAt)).toBe(0)
    world.clock.advance(15 * MINUTE)
    expect(await watch.check(startedAt)).toBe(1)
    expect(await raised()).toMatchObject([
      { alert_type: 'host-silent', hostname: 'web-2', level: 'critical' },
      { alert_type: 'host-silent', hostname: 'web-1' },
    ])
    expect((await raised())[0].message).toContain('not been heard of for 16 minutes')
  })

  it('are not blamed for what they said while the control plane was down', async () => {
    const watch = createSilentHosts({ ...world.basics, store: createSilenceStore(world.database) })
    await enrol('web-1', world.clock.now() - DAY)
    const startedAt = world.clock.now()
    world.clock.advance(15 * MINUTE)
    expect(await watch.check(startedAt)).toBe(0)
    world.clock.advance(MINUTE)
    expect(await watch.check(startedAt)).toBe(1)
  })

  it('are let off when they are heard of at the last moment', async () => {
    const store = createSilenceStore(world.database)
    await enrol('web-1', world.clock.now())
    world.clock.advance(HOUR)
    const [quiet] = await store.quiet(world.clock.now())
    await world.database.write([
      { sql: `UPDATE hosts SET last_seen = ?`, args: [world.clock.now()] },
    ])
    const event = newEvent(world.basics, {
      actor: 'system',
      action: 'host.silent',
      target: 'host:x',
      outcome: 'ok',
      details: {},
    })
    expect(await store.markSilent(quiet!, { events: [event] })).toBe(false)
    expect(await world.actions()).toEqual([])
  })
})
