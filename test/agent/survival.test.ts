import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  agentCommand,
  enrolHost,
  eventually,
  type RunningAgent,
  removeState,
  startAgent,
} from '../support/agent-process.ts'
import { Problem, ScriptedPlane } from '../support/scripted-plane.ts'
import { backupJob, runOf } from '../support/scripted-run.ts'

let plane: ScriptedPlane
let state: string
let source: string
let agent: RunningAgent

beforeEach(async () => {
  plane = await ScriptedPlane.start()
  source = mkdtempSync(join(tmpdir(), 'holdfast-source-'))
  state = await enrolHost(plane)
  writeFileSync(join(state, 'repository.password'), 'p\n', { mode: 0o600 })
  agent = startAgent(state)
  await eventually('it is welcomed', () => plane.welcomes.length > 0)
})
afterEach(async () => {
  await agent.kill()
  await plane.stop()
  removeState(state)
  rmSync(source, { recursive: true, force: true })
})

const moverPid = () =>
  Number(/"pid":(\d+),"msg":"a mover began"|a mover began/.exec(agent.output())?.[1])
const finishOf = (id: string) => plane.finishes.find((finish) => finish.job === id)
const isRunning = (pid: number) => {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}

describe('a job', () => {
  it('outlives its socket', async () => {
    const backup = backupJob(source, 'hang')
    const run = runOf(plane.repository, [backup])
    plane.send(run)
    await eventually('a mover began', () => agent.output().includes('a mover began'))
    for (let cuts = 1; cuts <= 3; cuts++) {
      const before = plane.welcomes.length
      plane.cut()
      await eventually('it is welcomed again', () => plane.welcomes.length > before)
    }
    expect(agent.output().split('a mover began')).toHaveLength(2)
    plane.send({ type: 'cancel', batch: run.batch, jobs: [backup.id] })
    await eventually('the job ended', () => finishOf(backup.id)?.outcome === 'cancelled')
  })

  it('commits although the control plane was away when it wanted to, and answers late', async () => {
    let tries = 0
    plane.answers.set('commit', () => {
      tries++
      if (tries <= 2) throw new Problem('plane-unavailable', 'restarting')
      return { state: 'checking' }
    })
    plane.answers.set('commits', () =>
      ++tries > 5 ? { state: 'accepted' } : { state: 'checking' },
    )
    const backup = backupJob(source)
    plane.send(runOf(plane.repository, [backup]))
    await eventually('the job ended', () => finishOf(backup.id) !== undefined, 40)
    expect(finishOf(backup.id)).toMatchObject({ outcome: 'succeeded' })
  })

  it('ends as failed when its commit is refused, with the reason', async () => {
    plane.answers.set('commit', () => {
      throw new Problem('fence-stale', 'a newer attempt owns the job')
    })
    const backup = backupJob(source)
    plane.send(runOf(plane.repository, [backup]))
    await eventually('the job ended', () => finishOf(backup.id) !== undefined)
    expect(finishOf(backup.id)).toMatchObject({
      outcome: 'failed',
      message: 'fence-stale: a newer attempt owns the job',
    })
  })

  it('waits when its lease is over, and goes on when the control plane gives it back', async () => {
    let away = true
    plane.answers.set('lease', () => {
      if (away) throw new Problem('plane-unavailable', 'restarting')
      return undefined
    })
    const backup = backupJob(source, 'leases')
    plane.send(runOf(plane.repository, [backup], { leaseSeconds: 3 }))
    await eventually('the lease is over', () => agent.output().includes('the lease ended'), 30)
    away = false
    await eventually('the job ended', () => finishOf(backup.id) !== undefined, 60)
    expect(finishOf(backup.id)).toMatchObject({ outcome: 'succeeded', message: '[false,true]' })
  }, 120_000)

  it('is reported lost by the next start when the agent is killed, and its mover is gone', async () => {
    const backup = backupJob(source, 'deaf')
    plane.send(runOf(plane.repository, [backup]))
    await eventually('a mover began', () => agent.output().includes('a mover began'))
    const pid = moverPid()
    expect(isRunning(pid)).toBe(true)
    await agent.kill()
    agent = startAgent(state)
    await eventually('it is reported', () => finishOf(backup.id) !== undefined)
    expect(finishOf(backup.id)).toMatchObject({ outcome: 'lost', reason: 'agent-restarted' })
    expect(isRunning(pid)).toBe(false)
  })

  it('kills a mover that outlived its supervisor before it says that the job is lost', async () => {
    const backup = backupJob(source, 'deaf')
    plane.send(runOf(plane.repository, [backup]))
    await eventually('a mover began', () => agent.output().includes('a mover began'))
    const pid = moverPid()
    // Stopped, it cannot see that its stdin was closed.
    process.kill(pid, 'SIGSTOP')
    await agent.kill()
    expect(isRunning(pid)).toBe(true)
    agent = startAgent(state)
    await eventually('it is reported', () => finishOf(backup.id) !== undefined)
    expect(isRunning(pid)).toBe(false)
    expect(agent.output()).toContain('a mover outlived its supervisor and is killed')
  })

  it('keeps its outcome on disk until the control plane has it, across a kill of the agent', async () => {
    plane.answers.set('finish', () => {
      throw new Problem('plane-unavailable', 'not now')
    })
    const backup = backupJob(source)
    plane.send(runOf(plane.repository, [backup]))
    await eventually('it tried to report', () =>
      plane.calls.some(({ path }) => path.endsWith('/finish')),
    )
    await agent.kill()
    plane.answers.delete('finish')
    agent = startAgent(state)
    await eventually('it is reported', () => finishOf(backup.id) !== undefined)
    expect(finishOf(backup.id)).toMatchObject({ outcome: 'succeeded', reason: 'completed' })
    expect(plane.finishes).toHaveLength(1)
  })

  it('ends exactly once, whenever the agent is killed', async () => {
    for (let i = 0; i < 6; i++) {
      const backup = backupJob(source)
      const batch = runOf(plane.repository, [backup])
      plane.send(batch)
      await new Promise((resolve) => setTimeout(resolve, 40 + i * 90))
      await agent.kill()
      const welcomes = plane.welcomes.length
      agent = startAgent(state)
      await eventually('it is welcomed', () => plane.welcomes.length > welcomes)
      await eventually(`it ended (${i})`, () => finishOf(backup.id) !== undefined, 30)
      const outcomes = new Set(
        plane.finishes.filter(({ job }) => job === backup.id).map(({ outcome }) => outcome),
      )
      expect(outcomes.size).toBe(1)
    }
  }, 120_000)
})

describe('the agent', () => {
  it('lets nobody else run with its state directory, and says what it is doing', async () => {
    const second = await agentCommand(['run', '--state', state])
    expect(second.code).toBe(1)
    expect(second.stderr).toContain('in-use: another agent is running with this state directory')
    const status = await agentCommand(['status', '--json', '--state', state])
    expect(JSON.parse(status.stdout)).toMatchObject({
      host: plane.host,
      connected: true,
      way: 'socket',
      running: [],
      unsent: { reports: 0 },
      // What a person compares before a password is sealed to this host.
      recipient: plane.enrolments[0]!.recipient,
    })
  })

  it('stops within seconds when asked to, and reports what it left at the next start', async () => {
    const backup = backupJob(source, 'deaf')
    plane.send(runOf(plane.repository, [backup]))
    await eventually('a mover began', () => agent.output().includes('a mover began'))
    const pid = moverPid()
    expect(await agent.stop()).toBe(0)
    expect(isRunning(pid)).toBe(false)
    agent = startAgent(state)
    await eventually('it is reported', () => finishOf(backup.id) !== undefined)
    expect(finishOf(backup.id)).toMatchObject({ outcome: 'lost', reason: 'agent-restarted' })
  })

  it('is small while it has nothing to do', async () => {
    await agent.stop()
    agent = startAgent(state, { realMover: true })
    await eventually('it runs', () => agent.output().includes('connected'))
    const megabytes = () =>
      Number(execFileSync('ps', ['-o', 'rss=', '-p', String(agent.pid)])) / 1_024
    await eventually('it gave back what starting took', () => megabytes() < 110, 20)
  })
})
