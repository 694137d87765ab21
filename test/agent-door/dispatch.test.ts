import { describe, expect, it } from 'vitest'
import { MINUTE } from '../../shared/clock.ts'
import { Agent, queueJob, uuid } from './agent.ts'
import { useRig } from './rig.ts'

const rig = useRig()
const dispatch = (agent: Agent) => rig.door.agents.dispatch.host(agent.host)
const stateOf = async (job: string) =>
  (await rig.row('SELECT state, outcome, reason, message, attempt, fence FROM jobs WHERE id = ?', [
    job,
  ]))!
const noFrame = (agent: Agent) =>
  agent.frame('run', 100).then(
    () => 'a frame',
    () => 'none',
  )

describe('dispatch', () => {
  it('leaves jobs of a host that is away in the queue, and starts them when it comes', async () => {
    const agent = await rig.readyAgent()
    await agent.hangUp()
    await expect.poll(() => rig.door.connected(agent.host)).toBe(false)
    const job = await queueJob(rig.door, agent)
    await dispatch(agent)
    expect(await stateOf(job)).toMatchObject({ state: 'queued', attempt: 0 })
    await agent.connect()
    const run = await agent.frame('run')
    expect(run.jobs).toMatchObject([{ id: job, attempt: 1 }])
  })

  it('takes backups of different sources together, and two of one source one after the other', async () => {
    const agent = await rig.readyAgent()
    const first = await queueJob(rig.door, { ...agent, source: 'volume:a' })
    const second = await queueJob(rig.door, { ...agent, source: 'volume:b' })
    const third = await queueJob(rig.door, { ...agent, source: 'volume:a' })
    await dispatch(agent)
    const run = await agent.frame('run')
    expect(run.jobs.map(({ id }) => id)).toEqual([first, second])
    await agent.lease(run)
    await dispatch(agent)
    expect(await noFrame(agent)).toBe('none')
    for (const job of run.jobs) await agent.finish(run, job, 'failed', 'source-missing')
    const next = await agent.frame('run')
    expect(next.jobs.map(({ id }) => id)).toEqual([third])
  })

  it('sends the strictest limits of the policies in a batch, and what they become while it runs', async () => {
    const agent = await rig.readyAgent()
    const apply = (name: string, limits: object, version = 1) =>
      rig.door.database.write([
        {
          sql: `INSERT INTO policies (id, name, document_json, version, created_at, updated_at)
                VALUES (?, ?, ?, ?, 0, 0) ON CONFLICT (name) DO UPDATE SET document_json = excluded.document_json`,
          args: [name, name, JSON.stringify({ name, limits }), version],
        },
      ])
    await apply('nightly', { upload: '10M', nice: 15 })
    await apply('hourly', { upload: '1M', memory: '400M' })
    for (const [policy, source] of [
      ['nightly', 'volume:a'],
      ['hourly', 'volume:b'],
    ] as const) {
      await queueJob(rig.door, { ...agent, source, policy })
    }
    await dispatch(agent)
    const run = await agent.frame('run')
    const both = { nice: 15, memory: 400 * 2 ** 20, upload: 2 ** 20 }
    expect(run.limits).toEqual(both)
    await agent.lease(run)
    await apply('hourly', {})
    await rig.door.agents.dispatch.policyApplied('hourly')
    const changed = await agent.frame('limits')
    expect(changed).toEqual({
      type: 'limits',
      batch: run.batch,
      limits: { nice: 15, upload: 10 * 2 ** 20 },
    })
    // What changed while it was away is told at the next connect.
    await agent.hangUp()
    await expect.poll(() => rig.door.connected(agent.host)).toBe(false)
    await apply('nightly', { io: 'idle' })
    await rig.door.agents.dispatch.policyApplied('nightly')
    await agent.connect()
    expect((await agent.frame('limits')).limits).toEqual({ io: 'idle' })
    for (const job of run.jobs) await agent.finish(run, job, 'failed', 'source-missing')
    await rig.door.agents.dispatch.policyApplied('nightly')
    await expect(agent.frame('limits', 100)).rejects.toThrow('no limits frame')
  })

  it('says nothing of limits to an agent that does not know them', async () => {
    const agent = await rig.readyAgent()
    await agent.hangUp()
    agent.protocol = 1
    await agent.connect()
    await rig.door.database.write([
      {
        sql: `INSERT INTO policies (id, name, document_json, version, created_at, updated_at)
              VALUES ('p', 'p', ?, 1, 0, 0)`,
        args: [JSON.stringify({ name: 'p', limits: { upload: '1M' } })],
      },
    ])
    await queueJob(rig.door, { ...agent, policy: 'p' })
    await dispatch(agent)
    const run = await agent.frame('run')
    expect(run).not.toHaveProperty('limits')
    await agent.lease(run)
    await rig.door.agents.dispatch.policyApplied('p')
    await expect(agent.frame('limits', 100)).rejects.toThrow('no limits frame')
  })

  it('tells the host to name MD5s where the store does not check SHA-256', async () => {
    const agent = await rig.readyAgent()
    await queueJob(rig.door, { ...agent, source: 'volume:a' })
    await dispatch(agent)
    const run = await agent.frame('run')
    expect(run.repository).not.toHaveProperty('md5')
    await agent.lease(run)
    await agent.finish(run, run.jobs[0]!, 'failed', 'source-missing')
    Object.assign(rig.objects, { needsMd5: true })
    await queueJob(rig.door, { ...agent, source: 'volume:a' })
    await dispatch(agent)
    expect((await agent.frame('run')).repository.md5).toBe(true)
  })

  it('takes a hundred jobs at most, and no more than a frame can hold', async () => {
    const agent = await rig.readyAgent()
    for (let n = 0; n < 103; n++) await queueJob(rig.door, { ...agent, source: `volume:v${n}` })
    await dispatch(agent)
    const run = await agent.frame('run')
    expect(run.jobs).toHaveLength(100)
    const fences = run.jobs.map(({ fence }) => fence)
    expect(new Set(fences).size).toBe(100) // the agent told of no sources: one counter for all
  })

  it('ends a job that no frame can carry', async () => {
    const agent = await rig.readyAgent()
    const paths = Array.from({ length: 100 }, () => 'A'.repeat(12_000))
    const job = await queueJob(rig.door, {
      ...agent,
      kind: 'restore',
      parameters: {
        kind: 'restore',
        snapshot: 'a'.repeat(64),
        source: { kind: 'volume', name: 'data' },
        target: { kind: 'new-volume', name: 'copy' },
        paths,
      },
    })
    await dispatch(agent)
    expect(await stateOf(job)).toMatchObject({
      state: 'finished',
      outcome: 'failed',
      reason: 'target-invalid',
      message: expect.stringMatching(/^Its parameters are 12\d+ characters long/),
    })
    expect((await rig.alerts()).map(({ alert_type }) => alert_type)).toEqual(['job-failed'])
  })

  it('opens two batches of a repository at most, of different kinds', async () => {
    const agent = await rig.readyAgent()
    const verify = { kind: 'verify', readData: false }
    const browse = {
      kind: 'browse',
      snapshot: 'a'.repeat(64),
      source: { kind: 'volume', name: 'data' },
      path: '',
      what: 'list',
      recipient: 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p',
    }
    await queueJob(rig.door, agent)
    await queueJob(rig.door, { ...agent, kind: 'verify', parameters: verify })
    const waits = await queueJob(rig.door, { ...agent, kind: 'browse', parameters: browse })
    await dispatch(agent)
    const runs = [await agent.frame('run'), await agent.frame('run')]
    for (const run of runs) await agent.lease(run)
    expect(runs.map(({ jobs }) => jobs[0]?.parameters.kind).sort()).toEqual(['backup', 'verify'])
    expect(await noFrame(agent)).toBe('none')
    await agent.finish(runs[1]!, runs[1]!.jobs[0]!)
    const third = await agent.frame('run')
    expect(third.jobs[0]?.id).toBe(waits)
  })

  it('sends a batch again at each connect until its lease is asked for', async () => {
    const agent = await rig.readyAgent()
    await queueJob(rig.door, agent)
    await dispatch(agent)
    const run = await agent.frame('run')
    for (let n = 0; n < 2; n++) {
      await agent.connect()
      expect(await agent.frame('run')).toEqual(run)
    }
    await agent.lease(run)
    await agent.connect()
    expect(await noFrame(agent)).toBe('none')
  })

  it('survives a restart of the control plane between the change and the frame', async () => {
    const agent = await rig.readyAgent()
    await queueJob(rig.door, agent)
    rig.door.agents.dispatch.host(agent.host) // not waited for
    await rig.restart()
    await agent.connect()
    const run = await agent.frame('run')
    expect(run.jobs).toHaveLength(1)
  })

  it('starts each job once when two control planes look at the same queue', async () => {
    const agent = await rig.readyAgent()
    const second = await rig.openSecond()
    const other = new Agent(agent.key, second.url, agent)
    other.boot = agent.boot
    await other.connect()
    for (let n = 0; n < 5; n++) await queueJob(rig.door, { ...agent, source: `volume:v${n}` })
    await Promise.all([dispatch(agent), second.agents.dispatch.host(agent.host)])
    const { rows } = await rig.door.database.read(
      'SELECT attempt, state FROM jobs WHERE kind = ?',
      ['backup'],
    )
    expect(rows.map((row) => `${row.state} ${row.attempt}`)).toEqual(Array(5).fill('running 1'))
    expect(await rig.row('SELECT COUNT(*) AS n FROM batches WHERE ended_at IS NULL')).toMatchObject(
      {
        n: 1,
      },
    )
    await other.hangUp()
  })

  it('stamps a backup with the start of its attempt and its newest snapshot as parent', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    const { receipt } = await agent.backup(run, job, (grant, bytes) => {
      rig.objects.upload(grant.url, bytes)
    })
    await agent.finish(run, job)
    rig.clock.skip(MINUTE)
    const before = rig.clock.now()
    const next = await rig.started(agent)
    if (next.job.parameters.kind !== 'backup') throw new Error('not a backup')
    expect(next.job.parameters.parent).toBe(receipt.snapshot)
    expect(Date.parse(next.job.parameters.time)).toBeGreaterThanOrEqual(before)
  })

  it('gives fences that rise with every attempt on a source, known or not', async () => {
    const agent = await rig.readyAgent()
    const inventory = {
      at: '2026-01-01T00:00:00.000Z',
      volumes: [
        {
          name: 'data',
          driver: 'local',
          optionNames: [],
          labels: {},
          anonymous: false,
          mountpoint: '/x',
          usedBy: [],
        },
      ],
      mounts: [],
      containers: [],
      directories: [],
    }
    const lose = async ({ run, job }: Awaited<ReturnType<typeof rig.started>>) => {
      await agent.finish(run, job, 'lost', 'mover-died')
      return (await agent.frame('run')).jobs[0]!
    }
    const first = await rig.started(agent)
    const second = await lose(first)
    expect(second.fence).toBeGreaterThan(first.job.fence)
    // The source becomes known between two attempts: its own counter begins no lower.
    const event = { seq: 1, at: inventory.at, event: { kind: 'inventory', inventory } }
    await agent.call('events', { boot: agent.boot, events: [event] })
    const { batch } = (await rig.row('SELECT batch FROM jobs WHERE id = ?', [second.id]))!
    const again = await agent.call(`batches/${batch}/finish`, {
      job: second.id,
      attempt: second.attempt,
      fence: second.fence,
      outcome: 'lost',
      reason: 'mover-died',
    })
    expect(again.status).toBe(200)
    const third = (await agent.frame('run')).jobs[0]!
    expect(third).toMatchObject({ id: second.id, attempt: 3 })
    expect(third.fence).toBeGreaterThan(second.fence)
  })

  it('sends a restore of another host to the target, with the repository of its owner', async () => {
    const owner = await rig.readyAgent('web-1')
    const target = await rig.readyAgent('web-2')
    const restore = {
      kind: 'restore',
      snapshot: 'a'.repeat(64),
      source: { kind: 'volume', name: 'data' },
      target: { kind: 'new-volume', name: 'copy' },
      paths: [],
    }
    const { run } = await rig.started(target, {
      kind: 'restore',
      repository: owner.repository,
      parameters: restore,
    })
    expect(run.repository).toMatchObject({
      id: owner.repository,
      hostname: 'web-1',
      foreign: true,
      ready: true,
    })
    // The target reads what it was sent for, and writes nothing.
    const pack = 'b'.repeat(64)
    const get = await target.ask(run, 'grants', {
      wanted: [{ method: 'GET', what: 'pack', id: pack }],
      stored: [],
    })
    expect(get.body.grants[0].url).toContain(owner.repository)
    // A host that was taken out of the fleet still has its name in its snapshots.
    await rig.door.database.write([
      `UPDATE hosts SET removed_at = 1, name = name || '~' || id WHERE id = '${owner.host}'`,
    ])
    await target.connect()
    await target.finish(run, run.jobs[0]!)
    const later = await rig.started(target, {
      kind: 'restore',
      repository: owner.repository,
      parameters: restore,
    })
    expect(later.run.repository.hostname).toBe('web-1')
  })

  it('makes the repository first, once, and lets what waits for it end with it when that fails', async () => {
    const agent = await Agent.enrol(rig.door)
    await agent.connect()
    const backup = await queueJob(rig.door, agent)
    const other = await queueJob(rig.door, { ...agent, source: 'volume:b' })
    await dispatch(agent)
    const run = await agent.frame('run')
    expect(run.jobs.map(({ parameters }) => parameters.kind)).toEqual(['init'])
    await agent.lease(run)
    await Promise.all([dispatch(agent), dispatch(agent)])
    expect(await noFrame(agent)).toBe('none')
    await agent.finish(run, run.jobs[0]!, 'failed', 'no-recovery-recipient')
    for (const job of [backup, other]) {
      expect(await stateOf(job)).toMatchObject({
        state: 'finished',
        outcome: 'failed',
        reason: 'no-recovery-recipient',
        message: 'The repository could not be made.',
      })
    }
    expect(await rig.alerts()).toHaveLength(3)
    await rig.door.settled()
    expect(await noFrame(agent)).toBe('none')
    // The next run tries again.
    await queueJob(rig.door, agent)
    await dispatch(agent)
    expect((await agent.frame('run')).jobs[0]?.parameters.kind).toBe('init')
    await agent.hangUp()
  })

  it('tells a connected host at once that a job was cancelled, and in the answer to its lease', async () => {
    const agent = await rig.readyAgent()
    const { run, job } = await rig.started(agent)
    await rig.door.database.write([`UPDATE jobs SET cancel_at = 1 WHERE id = '${job.id}'`])
    await rig.door.agents.dispatch.cancelled({ id: job.id, host: agent.host, batch: run.batch })
    expect(await agent.frame('cancel')).toEqual({
      type: 'cancel',
      batch: run.batch,
      jobs: [job.id],
    })
    expect((await agent.lease(run)).body.cancel).toEqual([job.id])
    await agent.finish(run, job, 'cancelled', 'cancelled-by-person')
    expect(await stateOf(job.id)).toMatchObject({ outcome: 'cancelled' })
    expect(await rig.alerts()).toEqual([])
  })

  it('gives nobody a job of another host', async () => {
    const owner = await rig.readyAgent('web-1')
    const { run, job } = await rig.started(owner)
    const thief = await rig.readyAgent('web-2')
    expect((await thief.lease(run)).body).toMatchObject({ gone: [job.id] })
    for (const [name, body] of [
      ['grants', { wanted: [{ method: 'GET', what: 'index', id: 'a'.repeat(64) }], stored: [] }],
      ['listing', { what: 'index' }],
      ['read', { what: 'config' }],
      ['unlock', { id: 'a'.repeat(64) }],
      ['finish', { outcome: 'failed', reason: 'internal-error' }],
    ] as const) {
      const answer = await thief.ask(run, name, body, job)
      expect(answer).toMatchObject({
        status: 404,
        body: { detail: `this host has no job ${job.id}` },
      })
    }
    const elsewhere = { ...run, batch: uuid() }
    const answer = await owner.ask(elsewhere, 'listing', { what: 'index' }, job)
    expect(answer.body.code).toBe('fence-stale')
  })
})
