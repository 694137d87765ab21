import { beforeEach, describe, expect, it } from 'vitest'
import { HOUR } from '../../shared/clock.ts'
import { type Agent, queueJob } from './agent.ts'
import { useRig } from './rig.ts'

const rig = useRig()
let agent: Agent
beforeEach(async () => {
  agent = await rig.readyAgent()
})

describe('a prune and other movers', () => {
  it('never share a repository, whichever came first', async () => {
    const backup = await rig.started(agent, { source: 'volume:data' })
    const waiting = await queueJob(rig.door, {
      ...agent,
      kind: 'prune',
      parameters: { kind: 'prune', maxRepackBytes: 0, maxSeconds: 60, maxUnusedPercent: 5 },
    })
    await rig.door.agents.dispatch.host(agent.host)
    const state = (id: string) => rig.row('SELECT state FROM jobs WHERE id = ?', [id])
    expect(await state(waiting)).toMatchObject({ state: 'queued' })
    await agent.finish(backup.run, backup.job)
    await rig.door.settled()
    expect(await state(waiting)).toMatchObject({ state: 'running' })
    const prune = await agent.frame('run')
    await agent.lease(prune)
    const next = await queueJob(rig.door, { ...agent, source: 'volume:next' })
    await rig.door.agents.dispatch.host(agent.host)
    expect(await state(next)).toMatchObject({ state: 'queued' })
    await agent.finish(prune, prune.jobs[0]!)
    await rig.door.settled()
    expect(await state(next)).toMatchObject({ state: 'running' })
  })

  it('wait for an agent that knows what a prune is', async () => {
    await agent.hangUp()
    agent.protocol = 1
    await agent.connect()
    const waiting = await queueJob(rig.door, {
      ...agent,
      kind: 'prune',
      parameters: { kind: 'prune', maxRepackBytes: 0, maxSeconds: 60, maxUnusedPercent: 5 },
    })
    await rig.door.agents.dispatch.host(agent.host)
    const state = () => rig.row('SELECT state FROM jobs WHERE id = ?', [waiting])
    expect(await state()).toMatchObject({ state: 'queued' })
    await agent.hangUp()
    agent.protocol = 2
    await agent.connect()
    await rig.door.agents.dispatch.host(agent.host)
    expect(await state()).toMatchObject({ state: 'running' })
  })

  it('let a prune that waited for half an hour go first', async () => {
    const backup = await rig.started(agent, { source: 'volume:data' })
    const prune = await queueJob(rig.door, {
      ...agent,
      kind: 'prune',
      parameters: { kind: 'prune', maxRepackBytes: 0, maxSeconds: 60, maxUnusedPercent: 5 },
    })
    await rig.door.database.write([
      {
        sql: 'UPDATE jobs SET created_at = ? WHERE id = ?',
        args: [rig.clock.now() - HOUR, prune],
      },
      { sql: 'UPDATE batches SET kind = ?', args: ['restore'] },
    ])
    const next = await queueJob(rig.door, { ...agent, source: 'volume:next' })
    await rig.door.agents.dispatch.host(agent.host)
    expect(await rig.row('SELECT state FROM jobs WHERE id = ?', [next])).toMatchObject({
      state: 'queued',
    })
    await agent.finish(backup.run, backup.job)
    await rig.door.settled()
    expect(await rig.row('SELECT state FROM jobs WHERE id = ?', [prune])).toMatchObject({
      state: 'running',
    })
  })
})
