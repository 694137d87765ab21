// The whole way of a host: enrol, connect, be given work, do it, be believed.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { smallKey } from '../../shared/vault/layout.ts'
import { createSkippingClock, type SkippingClock } from '../support/skipping-clock.ts'
import { createStrictObjects, type StrictObjects } from '../support/strict-objects.ts'
import { Agent, queueJob } from './agent.ts'
import { type Door, openDoor } from './door.ts'

let directory: string
let clock: SkippingClock
let objects: StrictObjects
let door: Door
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-door-'))
  clock = createSkippingClock()
  objects = createStrictObjects(clock)
  door = await openDoor({ file: join(directory, 'a.db'), clock, objects })
})
afterEach(async () => {
  await door.stop()
  expect(objects.violations).toEqual([])
  expect(door.logged).toEqual([])
  rmSync(directory, { recursive: true })
})

describe('the way of a host', () => {
  it('enrols, connects, makes its repository, backs up, and has its snapshot in the vault', async () => {
    const agent = await Agent.enrol(door)
    await agent.connect()
    const job = await queueJob(door, agent)
    await door.agents.dispatch.host(agent.host)

    const init = await agent.frame('run')
    expect(init.jobs.map(({ parameters }) => parameters.kind)).toEqual(['init'])
    expect(init.repository).toMatchObject({ hostname: 'web-1', ready: false, foreign: false })
    await agent.initialise(init)

    const run = await agent.frame('run')
    expect(run.jobs.map(({ id }) => id)).toEqual([job])
    expect(run.repository.ready).toBe(true)
    expect((await agent.lease(run)).body).toEqual({ leaseSeconds: 600, cancel: [], gone: [] })
    const { answer, receipt } = await agent.backup(run, run.jobs[0]!, (grant, bytes) => {
      expect(objects.upload(grant.url, bytes)).toBe(200)
    })
    expect(answer.body).toEqual({ state: 'accepted' })
    expect((await agent.finish(run, run.jobs[0]!)).body).toEqual({})

    expect(objects.contents.has(smallKey(agent.repository, 'snapshot', receipt.snapshot))).toBe(
      true,
    )
    const { rows } = await door.database.read(
      'SELECT j.state, j.outcome, j.snapshot, s.id, s.outcome AS kept FROM jobs j JOIN snapshots s ON s.job = j.id',
    )
    expect(rows).toEqual([
      expect.objectContaining({
        state: 'finished',
        outcome: 'succeeded',
        snapshot: receipt.snapshot,
        id: receipt.snapshot,
        kept: 'succeeded',
      }),
    ])
    await agent.hangUp()
  })
})
