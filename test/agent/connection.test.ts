import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createCalls } from '../../agent/control/calls.ts'
import { type Connection, createConnection } from '../../agent/control/connection.ts'
import { enrol } from '../../agent/control/enrol.ts'
import { createPlaneHttp } from '../../agent/control/http-client.ts'
import { loadOrMakeIdentity } from '../../agent/control/identity.ts'
import type { Command } from '../../agent/control/line.ts'
import { createSession, type Session } from '../../agent/control/session.ts'
import type { Network } from '../../agent/storage/dispatcher.ts'
import type { Clock } from '../../shared/clock.ts'
import { newId } from '../../shared/ids.ts'
import { eventsAnswer } from '../../shared/protocol/calls.ts'
import { eventually, RECOVERY } from '../support/agent-process.ts'
import { Problem, ScriptedPlane } from '../support/scripted-plane.ts'
import { backupJob, runOf } from '../support/scripted-run.ts'
import { systemClock, systemRandom } from '../support/system-clock.ts'

/** Time runs fifty times as fast for pauses, so that windows of a minute can be waited for. */
const hasty: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(Math.min(ms / 50, 1_000), signal),
}

let folder: string
let plane: ScriptedPlane
let stop: AbortController
let connection: Connection
let session: Session
let commands: Command[]
let running: Promise<void>
let lines: string[]

async function connect(network: Network = {}): Promise<void> {
  const identity = loadOrMakeIdentity(join(folder, 'identity.pem'))
  const http = createPlaneHttp({ origin: plane.origin, network, version: '1' })
  const recipient = RECOVERY
  const host = { token: plane.token, name: 'h', machine: 'm', recipient, version: '1' }
  await enrol({ http, identity, clock: systemClock, host })
  session = createSession(systemClock)
  commands = []
  lines = []
  const say = (message: string, fields?: object) => {
    lines.push(`${message} ${JSON.stringify(fields)}`)
  }
  const self = {
    host: plane.host,
    boot: newId(systemClock, systemRandom),
    machine: 'm',
    version: '1',
  }
  connection = createConnection({
    self: { ...self, origin: plane.origin, identity },
    network,
    http,
    session,
    clock: hasty,
    random: systemRandom,
    log: { info: say, warn: say, error: say },
    onCommand: (command) => commands.push(command),
    onWelcome: () => {},
  })
  stop = new AbortController()
  running = connection.run(stop.signal)
}
const welcomes = (way: 'socket' | 'poll') => plane.welcomes.filter((w) => w.way === way).length

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-connection-'))
  plane = await ScriptedPlane.start()
})
afterEach(async () => {
  stop.abort(new Error('the test is over'))
  await running
  await plane.stop()
  rmSync(folder, { recursive: true })
})

describe('a connection', () => {
  it('proves the key and takes commands', async () => {
    await connect()
    await eventually('it is welcomed', () => connection.state.connected)
    plane.send(runOf(plane.repository, [backupJob('/data')]))
    plane.send({ type: 'refresh' })
    await eventually('both arrived', () => commands.length === 2)
    expect(commands.map(({ type }) => type)).toEqual(['run', 'refresh'])
  })

  it('comes back after each cut, with the same boot id', async () => {
    await connect()
    for (let cuts = 1; cuts <= 5; cuts++) {
      await eventually(
        'it is welcomed',
        () => plane.welcomes.length >= cuts && connection.state.connected,
      )
      plane.cut()
    }
    await eventually('it came back', () => plane.welcomes.length >= 6)
    expect(new Set(plane.welcomes.map(({ boot }) => boot)).size).toBe(1)
  })

  it('polls for the same frames after three refused upgrades, and goes back to a socket', async () => {
    plane.refuseUpgrades = 403
    await connect()
    await eventually('it polls', () => welcomes('poll') === 1)
    expect(plane.dials).toBe(3)
    const run = runOf(plane.repository, [backupJob('/data')])
    plane.send(run)
    await eventually('the run arrived', () => commands.length > 0)
    expect(commands[0]).toEqual(run)
    plane.refuseUpgrades = undefined
    plane.answers.set('poll', () => {
      throw new Problem('internal', 'a poll that fails')
    })
    await eventually('it is back on a socket', () => welcomes('socket') === 1, 30)
  })

  it('says that it was rejected and why, and tries again when it was told to', async () => {
    plane.reject = {
      code: 'duplicate-identity',
      message: 'another machine holds this key',
      retryAfterSeconds: 5,
    }
    await connect()
    await eventually('it was rejected', () => connection.state.problem !== undefined)
    expect(connection.state).toMatchObject({
      connected: false,
      problem: 'duplicate-identity: another machine holds this key',
    })
    plane.reject = undefined
    await eventually('it is welcomed', () => connection.state.connected)
  })

  it.each([
    ['a frame that is no JSON', '{'],
    ['a frame of unknown type', '{"type":"dance"}'],
    ['a field too many', '{"type":"refresh","now":true}'],
    ['a frame too large', JSON.stringify({ type: 'refresh', padding: 'x'.repeat(1 << 20) })],
    ['a frame beyond what a socket takes', 'x'.repeat(4 << 20)],
  ])('hangs up on %s, and comes back', async (_, text) => {
    await connect()
    await eventually('it is welcomed', () => connection.state.connected)
    plane.sendText(text)
    await eventually('it was welcomed again', () => plane.welcomes.length === 2)
    expect(commands).toEqual([])
    expect(lines.join('\n')).not.toContain('xxxxxxxx')
  })

  it('renews its session before it lapses', async () => {
    plane.sessionSeconds = 4
    await connect()
    await eventually('it is welcomed', () => connection.state.connected)
    const first = await session.token(0)
    await eventually('there is a new token', async () => (await session.token(0)) !== first, 10)
    expect(plane.welcomes).toHaveLength(1)
  })

  it('gets a new session when the control plane forgot the old one', async () => {
    await connect()
    await eventually('it is welcomed', () => connection.state.connected)
    plane.sessions.clear()
    const http = createPlaneHttp({ origin: plane.origin, network: {}, version: '1' })
    const calls = createCalls({ http, session, clock: systemClock, random: systemRandom })
    const { boot } = plane.welcomes[0]!
    const at = new Date(systemClock.now()).toISOString()
    const body = { boot, events: [{ seq: 1, at, event: { kind: 'alive' } }] }
    await expect(calls.post('events', body, eventsAnswer)).resolves.toEqual({ acknowledged: 1 })
    expect(plane.welcomes).toHaveLength(2)
  })

  it('stops at once when it is told to', async () => {
    await connect()
    await eventually('it is welcomed', () => connection.state.connected)
    const before = performance.now()
    stop.abort(new Error('enough'))
    await running
    expect(performance.now() - before).toBeLessThan(1_000)
  })
})
