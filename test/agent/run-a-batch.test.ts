import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { newId } from '../../shared/ids.ts'
import {
  enrolHost,
  eventually,
  RECOVERY,
  type RunningAgent,
  removeState,
  startAgent,
} from '../support/agent-process.ts'
import { ScriptedPlane } from '../support/scripted-plane.ts'
import { backupJob, job, runOf } from '../support/scripted-run.ts'
import { systemClock, systemRandom } from '../support/system-clock.ts'

const CANARY = 'CANARY-password-of-the-repository'
let plane: ScriptedPlane
let state: string
let source: string
let agent: RunningAgent
/** A repository for each test: movers that never end take places in it and in no other. */
let repository: string
let outputBefore: number
const output = () => agent.output().slice(outputBefore)

beforeEach(() => {
  repository = newId(systemClock, systemRandom)
  outputBefore = agent.output().length
})
afterEach(() => plane.answers.clear())
beforeAll(async () => {
  plane = await ScriptedPlane.start()
  source = mkdtempSync(join(tmpdir(), 'holdfast-source-'))
  state = await enrolHost(plane)
  writeFileSync(join(state, 'repository.password'), `${CANARY}\n`, { mode: 0o600 })
  agent = startAgent(state)
  await eventually('it is welcomed', () => plane.welcomes.length > 0)
})
afterAll(async () => {
  await agent.kill()
  await plane.stop()
  removeState(state)
  rmSync(source, { recursive: true, force: true })
})

const finishOf = (id: string) => plane.finishes.find((finish) => finish.job === id)
async function finished(id: string) {
  await eventually(`the end of ${id}\n${agent.output()}`, () => finishOf(id) !== undefined)
  return finishOf(id)!
}

describe('a batch', () => {
  it('is leased, carried out by a mover, committed with a signed receipt, and reported', async () => {
    const backup = backupJob(source)
    plane.send(runOf(repository, [backup]))
    expect(await finished(backup.id)).toEqual({
      job: backup.id,
      attempt: 1,
      fence: 1,
      outcome: 'succeeded',
      reason: 'completed',
      counts: { files: 1, bytes: 40, milliseconds: 1 },
    })
    const paths = plane.calls.map(({ path }) => path.replace(/batches\/[^/]+/, 'batches/…'))
    for (const call of ['lease', 'grants', 'commit', 'finish']) {
      expect(paths).toContain(`/agent/v1/batches/…/${call}`)
    }
    expect(plane.events.map(({ kind }) => kind)).toEqual(
      expect.arrayContaining(['alive', 'inventory']),
    )
    const inventory = plane.events.find((event) => event.kind === 'inventory')!
    expect(inventory.inventory.engine).toBeUndefined()
  })

  it('is carried out once, however often it is sent', async () => {
    const backup = backupJob(source)
    const run = runOf(repository, [backup])
    for (let i = 0; i < 3; i++) plane.send(run)
    await finished(backup.id)
    await eventually('the mover ended', () => output().includes('the mover ended'))
    const reports = () => plane.finishes.filter((finish) => finish.job === backup.id)
    await eventually('the report is repeated', () => {
      plane.send(run)
      return reports().length > 1
    })
    const commits = plane.calls.filter(
      ({ path }) => path === `/agent/v1/batches/${run.batch}/commit`,
    )
    expect(commits).toHaveLength(1)
    expect(reports()[0]).toEqual(reports()[1])
  })

  it('gives its movers a bare environment and no words, and secrets on stdin alone', async () => {
    const backup = backupJob(source, 'surroundings')
    plane.send(runOf(repository, [backup]))
    const { message } = await finished(backup.id)
    expect(JSON.parse(message!)).toEqual({ keys: ['PATH', 'NODE_COMPILE_CACHE'], words: [] })
    const note = join(state, 'note')
    const second = backupJob(source, `note:${note}`)
    plane.send(runOf(repository, [second]))
    await finished(second.id)
    const start = JSON.parse(readFileSync(note, 'utf8'))
    expect(start).toMatchObject({
      host: plane.host,
      password: CANARY,
      recoveryRecipient: RECOVERY,
      prepared: [{ job: second.id, path: source, idShift: 0 }],
    })
    expect(statSync(start.paths.cache).mode & 0o777).toBe(0o700)
  })

  it('ends as lost when its mover dies without a word, each job that had no end', async () => {
    for (const [script, how] of [
      ['exit', 'exit code 70'],
      ['sigkill', 'signal SIGKILL'],
      ['babble', 'signal SIGKILL'],
    ] as const) {
      const backup = backupJob(source, script)
      plane.send(runOf(repository, [backup]))
      expect(await finished(backup.id)).toMatchObject({
        outcome: 'lost',
        reason: 'mover-died',
        message: `the mover ended with ${how}`,
      })
    }
  })

  it('tells how far it is, and stops when a person cancels it', async () => {
    const backup = backupJob(source, 'hang')
    const run = runOf(repository, [backup])
    plane.send(run)
    await eventually('progress arrives', () =>
      plane.calls.some((call) => JSON.stringify(call.body ?? {}).includes('"files":7')),
    )
    plane.send({ type: 'cancel', batch: run.batch, jobs: [backup.id] })
    expect(await finished(backup.id)).toMatchObject({
      outcome: 'cancelled',
      reason: 'cancelled-by-person',
    })
  })

  it('is cancelled by the answer to a lease as well', async () => {
    const backup = backupJob(source, 'hang')
    plane.answers.set('lease', () => ({ leaseSeconds: 600, cancel: [backup.id], gone: [] }))
    plane.send(runOf(repository, [backup]))
    expect(await finished(backup.id)).toMatchObject({ outcome: 'cancelled' })
  })

  it('is dropped without a report when a newer attempt owns it', async () => {
    const backup = backupJob(source, 'deaf')
    let gone = false
    plane.answers.set('lease', () => ({
      leaseSeconds: 600,
      cancel: [],
      gone: gone ? [backup.id] : [],
    }))
    plane.send(runOf(repository, [backup]))
    await eventually('a mover began', () => output().includes('a mover began'))
    gone = true
    await eventually('the mover was killed', () => output().includes('the mover ended'))
    await eventually('that was said', () => output().includes('jobs were given to a newer attempt'))
    expect(finishOf(backup.id)).toBeUndefined()
  })

  it('keeps three movers of a repository from working at once', async () => {
    const jobs = [1, 2, 3].map(() => backupJob(source, 'hang'))
    const runs = jobs.map((one) => runOf(repository, [one]))
    for (const run of runs) plane.send(run)
    const begun = () => output().split('a mover began').length - 1
    await eventually('two movers began', () => begun() === 2)
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect(begun()).toBe(2)
    plane.send({ type: 'cancel', batch: runs[0]!.batch, jobs: [jobs[0]!.id] })
    await eventually('the third began', () => begun() === 3)
  })

  it('cancels what waits for a place at once', async () => {
    const jobs = [1, 2, 3].map(() => backupJob(source, 'deaf'))
    const runs = jobs.map((one) => runOf(repository, [one]))
    for (const run of runs) plane.send(run)
    await eventually('two movers began', () => output().split('a mover began').length === 3)
    plane.send({ type: 'cancel', batch: runs[2]!.batch, jobs: [jobs[2]!.id] })
    expect(await finished(jobs[2]!.id)).toMatchObject({ outcome: 'cancelled' })
  })

  it('says why a job cannot be begun, and carries out the others', async () => {
    const missing = backupJob(`${source}/nonexistent`)
    const volume = job({
      kind: 'backup',
      source: { kind: 'volume', name: 'data' },
      time: new Date().toISOString(),
      tags: [],
      volatile: [],
      readAll: false,
    })
    const good = backupJob(source)
    plane.send(runOf(repository, [missing, volume, good]))
    expect(await finished(missing.id)).toMatchObject({
      outcome: 'failed',
      reason: 'source-missing',
      message: 'there is no such directory',
    })
    expect(await finished(volume.id)).toMatchObject({
      outcome: 'failed',
      reason: 'source-missing',
      message: 'no Docker Engine answers on this host',
    })
    expect(await finished(good.id)).toMatchObject({ outcome: 'succeeded' })
  })

  it('never shows a secret in its log', async () => {
    const url = `https://store.example/bucket/key?X-Amz-Signature=CANARY-signature`
    plane.answers.set('grants', () => ({
      grants: [{ method: 'GET', id: 'a'.repeat(64), url, headers: {}, seconds: 900 }],
    }))
    const jobs = [
      backupJob(source),
      backupJob(source, 'exit'),
      backupJob('/nonexistent/CANARY-path'),
    ]
    plane.send(runOf(repository, jobs))
    for (const { id } of jobs) await finished(id)
    await agent.stop()
    expect(agent.output()).toContain('scripted')
    expect(agent.output()).not.toContain('CANARY')
    expect(agent.output()).not.toContain(plane.token)
    for (const session of plane.sessions) expect(agent.output()).not.toContain(session)
  })
})
