import { describe, expect, it } from 'vitest'
import { MINUTE } from '../../shared/clock.ts'
import { Agent, uuid } from './agent.ts'
import { useRig } from './rig.ts'

const rig = useRig()
const at = '2026-01-01T00:00:00.000Z'
const send = (agent: Agent, events: [number, object][], boot = agent.boot) =>
  agent.call('events', { boot, events: events.map(([seq, event]) => ({ seq, at, event })) })
const alive = { kind: 'alive', freeStateBytes: 123 }

const volume = (name: string, more: object = {}) => ({
  name,
  driver: 'local',
  optionNames: [],
  labels: {},
  anonymous: false,
  mountpoint: `/var/lib/docker/volumes/${name}/_data`,
  usedBy: [],
  ...more,
})
const inventory = (volumes: object[], directories: string[] = []) => ({
  kind: 'inventory',
  inventory: {
    at,
    volumes,
    mounts: [{ path: '/srv', usedBy: ['web'] }],
    containers: [],
    directories,
  },
})

async function connected(name?: string) {
  const agent = await Agent.enrol(rig.door, name)
  await agent.connect()
  return agent
}

describe('events of an agent', () => {
  it('are taken once and in order, also those of an earlier boot', async () => {
    const agent = await connected()
    const notice = (n: number) => ({ kind: 'notice', code: 'docker-back', message: `no ${n}` })
    expect(
      (
        await send(agent, [
          [1, notice(1)],
          [2, notice(2)],
        ])
      ).body,
    ).toEqual({ acknowledged: 2 })
    expect(
      (
        await send(agent, [
          [3, notice(3)],
          [2, notice(2)],
        ])
      ).body,
    ).toEqual({ acknowledged: 3 })
    expect((await send(agent, [[1, notice(1)]])).body).toEqual({ acknowledged: 3 })
    const earlier = uuid()
    expect((await send(agent, [[9, notice(9)]], earlier)).body).toEqual({ acknowledged: 9 })
    const { rows } = await rig.door.database.read(
      "SELECT entry FROM audit WHERE action = 'host.notice' ORDER BY seq",
    )
    expect(rows.map(({ entry }) => JSON.parse(String(entry)).details.message)).toEqual([
      'no 1',
      'no 2',
      'no 3',
      'no 9',
    ])
    await agent.hangUp()
  })

  it('say that a host lives, by the time they come in, and that it is back', async () => {
    const agent = await connected()
    await send(agent, [[1, alive]])
    const seen = async () => rig.row('SELECT last_seen, silent_since, free_state_bytes FROM hosts')
    expect(Math.abs(Number((await seen())?.last_seen) - rig.clock.now())).toBeLessThan(5_000)
    expect(await seen()).toMatchObject({ free_state_bytes: 123 })
    const actions = (await rig.actions()).length
    await send(agent, [[2, alive]])
    expect(await rig.actions()).toHaveLength(actions)
    await rig.door.database.write([
      `UPDATE hosts SET silent_since = ${rig.clock.now() - 20 * MINUTE}`,
    ])
    await send(agent, [[3, alive]])
    await send(agent, [[3, alive]])
    expect(await seen()).toMatchObject({ silent_since: null })
    expect(await rig.alerts()).toMatchObject([
      { alert_type: 'host-back', message: 'Host web-1 is back after 20 minutes of silence.' },
    ])
    expect((await rig.actions()).at(-1)).toBe('host.back ok')
    await agent.hangUp()
  })

  it('tell sources that came and went, with an event only then', async () => {
    const agent = await connected()
    const sources = async () =>
      (
        await rig.door.database.read(
          'SELECT source, gone_at IS NOT NULL AS gone FROM sources ORDER BY source',
        )
      ).rows.map((row) => `${row.source}${row.gone ? ' gone' : ''}`)
    const data = volume('data', { labels: { backup: 'critical' }, project: 'shop' })
    await send(agent, [[1, inventory([data, volume('-odd-')], ['/srv', 'relative', '/a/../b'])]])
    expect(await sources()).toEqual(['directory:/srv', 'volume:data'])
    const row = await rig.row("SELECT details_json FROM sources WHERE name = 'data'")
    expect(JSON.parse(String(row?.details_json))).toMatchObject({
      project: 'shop',
      driver: 'local',
    })
    expect(await rig.row("SELECT details_json FROM sources WHERE name = '/srv'")).toMatchObject({
      details_json: '{"usedBy":["web"]}',
    })
    await send(agent, [[2, inventory([data], ['/srv'])]])
    await send(agent, [[3, inventory([volume('more')], ['/srv'])]])
    expect(await sources()).toEqual(['directory:/srv', 'volume:data gone', 'volume:more'])
    await send(agent, [[4, inventory([data, volume('more')], ['/srv'])]])
    expect(await sources()).toEqual(['directory:/srv', 'volume:data', 'volume:more'])
    const changed = (await rig.actions()).filter((action) => action === 'inventory.changed ok')
    expect(changed).toHaveLength(3)
    await agent.hangUp()
  })

  it('take twenty thousand volumes', async () => {
    const agent = await connected()
    const volumes = Array.from({ length: 20_000 }, (_, n) => volume(`v${n}`))
    const before = performance.now()
    expect((await send(agent, [[1, inventory(volumes)]])).body).toEqual({ acknowledged: 1 })
    await send(agent, [[2, inventory(volumes.slice(1))]])
    expect(performance.now() - before).toBeLessThan(20_000)
    expect(await rig.row('SELECT COUNT(*) AS n FROM sources WHERE gone_at IS NULL')).toMatchObject({
      n: 19_999,
    })
    await agent.hangUp()
  })

  it('alert when a host needs a hand, and only then', async () => {
    const agent = await connected()
    const notice = (code: string) => ({ kind: 'notice', code, message: 'words' })
    await send(agent, [
      [1, notice('docker-back')],
      [2, notice('containers-restarted')],
      [3, notice('state-disk-full')],
    ])
    expect(await rig.alerts()).toMatchObject([
      { alert_type: 'host-notice', message: 'Host web-1: words' },
    ])
    const bad = await send(agent, [[4, { kind: 'notice', code: 'made-up', message: 'x' }]])
    expect(bad.status).toBe(422)
    await agent.hangUp()
  })
})

describe('pages of a browse job', () => {
  it('are kept once each, in any order, for that job only', async () => {
    const agent = await rig.readyAgent()
    const parameters = {
      kind: 'browse',
      snapshot: 'a'.repeat(64),
      source: { kind: 'volume', name: 'data' },
      path: '',
      what: 'list',
      recipient: 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p',
    }
    const browse = await rig.started(agent, { kind: 'browse', parameters })
    const page = (n: number, last: boolean, bytes: string) =>
      agent.ask(browse.run, 'page', { page: n, last, bytes }, browse.job)
    await page(1, true, 'QUJD')
    await page(0, false, 'REVG')
    expect((await page(0, false, 'WFla')).body).toEqual({})
    const { rows } = await rig.door.database.read(
      'SELECT page, last, bytes FROM pages ORDER BY page',
    )
    expect(rows).toMatchObject([
      { page: 0, last: 0, bytes: 'REVG' },
      { page: 1, last: 1, bytes: 'QUJD' },
    ])
    const backup = await rig.started(agent)
    const wrong = { page: 0, last: true, bytes: 'QUJD' }
    const refused = await agent.ask(backup.run, 'page', wrong, backup.job)
    expect(refused.body.detail).toBe('a job of kind backup has no pages')
  })
})
