import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { HOUR, MINUTE, SECOND } from '../../shared/clock.ts'
import { Agent, post, queueJob, uuid } from './agent.ts'
import { useRig } from './rig.ts'

const rig = useRig()

/** Says one thing after the other on a fresh socket; resolves with what came back and the close code. */
async function say(...texts: (string | Buffer)[]) {
  const socket = new WebSocket(`${rig.door.url.replace('http', 'ws')}/agent/v1/connect`)
  const heard: string[] = []
  socket.on('message', (data) => heard.push(String(data)))
  socket.on('error', () => undefined)
  const closed = once(socket, 'close') as Promise<[number]>
  await once(socket, 'open')
  for (const text of texts) socket.send(text)
  const [code] = await closed
  return { code, heard: heard.map((text) => JSON.parse(text)) }
}

describe('the greeting', () => {
  it('turns away a version it does not speak, a stranger, and nonsense, each with its reason', async () => {
    const agent = await Agent.enrol(rig.door)
    const hello = agent.hello()
    const heard = async (text: string) => (await say(text)).heard[0]
    expect(await heard(JSON.stringify({ ...hello, host: uuid() }))).toMatchObject({
      type: 'reject',
      code: 'unauthenticated',
      message: expect.stringMatching(/^host .* is not enrolled here; enrol it again/),
    })
    expect(await heard('{"type":')).toMatchObject({ code: 'invalid', message: 'frame is not JSON' })
    expect(await heard('{"type":"dance"}')).toMatchObject({ code: 'invalid' })
    const renew = await say('{"type":"renew"}')
    expect(renew.heard[0].message).toBe('a renew frame at this point')
    expect(renew.code).toBe(1008)
    // A later version may say more, and is answered in ours.
    const later = { ...hello, protocol: 99, mood: 'fine' }
    const answer = await post(rig.door.url, 'hello', later)
    expect(answer.body.type).toBe('challenge')
  })

  it('ends a line that sends bytes, too long a frame, or too many frames', async () => {
    expect((await say(Buffer.from([1, 2, 3]))).code).toBe(1003)
    expect((await say('x'.repeat(2 ** 20 + 1))).code).toBe(1009)
    const many = await say(...Array(200).fill('{"type":"renew"}'))
    expect(many.code).toBe(1008)
    rig.expectedLogs.push(/A socket of an agent failed/)
  })

  it('refuses a proof for another origin, by another key, or for a used challenge', async () => {
    const agent = await Agent.enrol(rig.door)
    const greet = async () => (await post(rig.door.url, 'hello', agent.hello())).body
    const prove = async (proof: object) => (await post(rig.door.url, 'prove', proof)).body
    const evil = await prove(agent.prove(await greet(), 'https://evil.example'))
    expect(evil).toMatchObject({
      type: 'reject',
      message: expect.stringContaining('the agent must know the control plane as https://plane'),
    })
    const other = await Agent.enrol(rig.door, 'web-2')
    const forged = { ...other.prove(await greet()), host: agent.host, boot: agent.boot }
    expect((await prove(forged)).message).toMatch(/^the proof does not fit the key of this host/)
    const proof = agent.prove(await greet())
    expect((await prove(proof)).type).toBe('welcome')
    const used = 'the challenge is unknown, used or over'
    expect((await prove(proof)).message).toBe(used)
    const slow = agent.prove(await greet())
    rig.clock.skip(61 * SECOND)
    expect((await prove(slow)).message).toBe(used)
    const another = agent.prove(await greet())
    expect((await prove({ ...another, boot: uuid() })).message).toBe(used)
  })

  it('does not let a welcome for one host out by the proof of another', async () => {
    const one = await Agent.enrol(rig.door, 'web-1')
    const two = await Agent.enrol(rig.door, 'web-2')
    const challenge = (await post(rig.door.url, 'hello', one.hello())).body
    const answer = await post(rig.door.url, 'prove', two.prove(challenge))
    expect(answer.body).toMatchObject({ type: 'reject', code: 'unauthenticated' })
  })

  it('turns a second machine with the same key away, alarms once an hour, and lets the first go on', async () => {
    const agent = await Agent.enrol(rig.door)
    await agent.connect()
    const thief = new Agent(agent.key, rig.door.url, agent)
    thief.machine = 'machine-2'
    for (let n = 0; n < 3; n++) {
      await expect(thief.connect()).rejects.toThrow(
        /duplicate-identity.*two machines share one key/,
      )
    }
    expect((await agent.call('events', aliveEvent(agent, 1))).status).toBe(200)
    const alerts = await rig.alerts()
    expect(alerts.map(({ alert_type }) => alert_type)).toEqual(['duplicate-identity'])
    expect(alerts[0]?.message).toContain('Two machines use the key of host web-1')
    expect(await rig.actions()).toEqual([
      'host.enrolled ok',
      'host.connected ok',
      'host.connected refused',
    ])
    rig.clock.skip(HOUR - MINUTE)
    await agent.connect() // the first machine's session is alive again
    rig.clock.skip(2 * MINUTE)
    await expect(thief.connect()).rejects.toThrow(/duplicate-identity/)
    expect(await rig.alerts()).toHaveLength(2)
    // Once the first machine's session is over, a machine that took its place may come in.
    rig.clock.skip(16 * MINUTE)
    await thief.connect()
    await thief.hangUp()
    await agent.hangUp()
  })

  it('leaves one event per boot, however often its line breaks', async () => {
    const agent = await Agent.enrol(rig.door)
    for (let n = 0; n < 3; n++) await agent.connect()
    agent.boot = uuid()
    await agent.connect()
    const connected = (await rig.actions()).filter((action) => action === 'host.connected ok')
    expect(connected).toHaveLength(2)
    await agent.hangUp()
  })

  it('closes the older of two lines of one host', async () => {
    const agent = await Agent.enrol(rig.door)
    await agent.connect()
    const old = agent.socket!
    const closed = once(old, 'close') as Promise<[number]>
    await agent.connect()
    expect((await closed)[0]).toBe(4000)
    await agent.hangUp()
  })
})

const aliveEvent = (agent: Agent, seq: number) => ({
  boot: agent.boot,
  events: [{ seq, at: '2026-01-01T00:00:00.000Z', event: { kind: 'alive' } }],
})

describe('the session token', () => {
  it('lasts fifteen minutes, is renewed on the line, and ends with another boot', async () => {
    const agent = await Agent.enrol(rig.door)
    await agent.connect()
    rig.clock.skip(14 * MINUTE)
    const old = agent.session
    agent.socket!.send('{"type":"renew"}')
    const renewed = await agent.frame('session')
    expect(renewed.sessionSeconds).toBe(900)
    agent.session = renewed.session
    rig.clock.skip(2 * MINUTE)
    expect((await agent.call('events', aliveEvent(agent, 1))).status).toBe(200)
    const lapsed = await post(rig.door.url, 'events', aliveEvent(agent, 2), old)
    expect(lapsed.body.code).toMatch(/^(token-expired|unauthenticated)$/)
    const before = agent.session
    agent.boot = uuid()
    await agent.connect()
    expect((await post(rig.door.url, 'events', aliveEvent(agent, 2), before)).status).toBe(401)
    await agent.hangUp()
  })

  it('is asked for in every call, and never stands in the database', async () => {
    const agent = await Agent.enrol(rig.door)
    await agent.connect()
    for (const path of ['lease', 'grants', 'stored', 'listing', 'read', 'lock', 'unlock']) {
      const none = await post(rig.door.url, `batches/${uuid()}/${path}`, {})
      expect(none.body.code).toBe('unauthenticated')
    }
    for (const path of ['initialise', 'commit', 'finish', 'page']) {
      const none = await post(rig.door.url, `batches/${uuid()}/${path}`, {}, 'hf_session_x')
      expect(none.body).toMatchObject({
        status: 401,
        detail: 'the session token is not valid',
        type: 'about:blank',
      })
    }
    const { rows } = await rig.door.database.read(
      "SELECT name FROM sqlite_master WHERE type = 'table'",
    )
    for (const { name } of rows) {
      const dump = JSON.stringify((await rig.door.database.read(`SELECT * FROM ${name}`)).rows)
      expect(dump).not.toContain(agent.session.slice(-64))
      expect(dump).not.toMatch(/hf_(enroll|session)_/)
    }
    await agent.hangUp()
  })
})

describe('the long poll', () => {
  it('carries the same frames over HTTPS', async () => {
    const agent = await Agent.enrol(rig.door)
    const challenge = (await post(rig.door.url, 'hello', agent.hello())).body
    agent.session = (await post(rig.door.url, 'prove', agent.prove(challenge))).body.session
    const poll = (waitSeconds: number) => agent.call('poll', { boot: agent.boot, waitSeconds })
    expect((await poll(0)).body).toEqual({ frames: [] })
    const waiting = poll(20)
    await queueJob(rig.door, agent)
    await new Promise((resolve) => setTimeout(resolve, 100))
    await rig.door.agents.dispatch.host(agent.host)
    // A run comes once or more until it is accepted: with this poll, and with the next.
    const [run, ...repeated] = (await waiting).body.frames
    expect(run.type).toBe('run')
    const again = (await poll(5)).body.frames
    expect(again.length).toBeGreaterThan(0)
    for (const frame of [...repeated, ...again]) expect(frame).toEqual(run)
    await agent.lease(run)
    await rig.door.settled()
    expect((await poll(0)).body.frames).toEqual([])
    const other = await agent.call('poll', { boot: uuid(), waitSeconds: 0 })
    expect(other.body.detail).toBe('boot: is not that of the session')
    const renewed = await agent.call('renew', {})
    expect(renewed.body).toMatchObject({ type: 'session', sessionSeconds: 900 })
  })
})
