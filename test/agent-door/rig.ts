// A door, a vault and an agent for each test, and the checks every test ends with.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect } from 'vitest'
import type { AssignedJob, Run } from '../../shared/protocol/from-control.ts'
import { createSkippingClock, type SkippingClock } from '../support/skipping-clock.ts'
import { createStrictObjects, type StrictObjects } from '../support/strict-objects.ts'
import { Agent, queueJob } from './agent.ts'
import { type Door, type DoorOptions, openDoor } from './door.ts'

export interface Rig {
  clock: SkippingClock
  objects: StrictObjects
  door: Door
  file: string
  /** Logged faults a test expects; anything else fails it. */
  expectedLogs: RegExp[]
  /** Another control plane on the same file and vault. */
  openSecond(options?: Partial<DoorOptions>): Promise<Door>
  /** The process dies and starts again: everything in memory is gone. */
  restart(options?: Partial<DoorOptions>): Promise<void>
  /** An enrolled, connected agent whose repository is ready. */
  readyAgent(name?: string): Promise<Agent>
  /** Queues a job and gets it to the agent. */
  started(agent: Agent, job?: Partial<Parameters<typeof queueJob>[1]>): Promise<StartedJob>
  /** Alerts on their way, oldest first. */
  alerts(): Promise<{ alert_type: string; message: string; job?: string }[]>
  /** Audit actions with their outcomes, oldest first. */
  actions(): Promise<string[]>
  row(sql: string, args?: (string | number)[]): Promise<Record<string, unknown> | undefined>
}

export interface StartedJob {
  readonly run: Run
  readonly job: AssignedJob
}

export function useRig(): Rig {
  const doors: Door[] = []
  const agents: Agent[] = []
  let directory = ''
  const rig = {} as Rig
  const open = async (options: Partial<DoorOptions> = {}) => {
    const { file, clock, objects } = rig
    const door = await openDoor({ file, clock, objects, ...options })
    doors.push(door)
    return door
  }

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'holdfast-door-'))
    rig.file = join(directory, 'a.db')
    rig.clock = createSkippingClock()
    rig.objects = createStrictObjects(rig.clock)
    rig.expectedLogs = []
    rig.door = await open()
  })
  afterEach(async () => {
    for (const agent of agents.splice(0)) await agent.hangUp()
    const opened = doors.splice(0)
    for (const door of opened) await door.stop()
    rmSync(directory, { recursive: true })
    expect(rig.objects.violations).toEqual([])
    const logged = opened.flatMap((door) => door.logged)
    expect(logged.filter((line) => !rig.expectedLogs.some((known) => known.test(line)))).toEqual([])
  })

  rig.openSecond = open
  rig.restart = async (options) => {
    const old = rig.door
    doors.splice(doors.indexOf(old), 1)
    await old.stop()
    rig.door = await open(options)
    for (const agent of agents) agent.url = rig.door.url
  }
  rig.readyAgent = async (name) => {
    const agent = await Agent.enrol(rig.door, name)
    agents.push(agent)
    await agent.connect()
    await queueJob(rig.door, {
      ...agent,
      kind: 'init',
      source: 'volume:none',
      parameters: { kind: 'init' },
    })
    await rig.door.agents.dispatch.host(agent.host)
    await agent.initialise(await agent.frame('run'))
    await rig.door.settled()
    return agent
  }
  rig.started = async (agent, job = {}) => {
    const id = await queueJob(rig.door, { ...agent, ...job })
    await rig.door.agents.dispatch.host(job.host ?? agent.host)
    const run = await agent.frame('run')
    await agent.lease(run)
    return { run, job: run.jobs.find((assigned) => assigned.id === id)! }
  }
  rig.alerts = async () => {
    const { rows } = await rig.door.database.read(
      "SELECT body FROM queue WHERE topic = 'alert' ORDER BY created_at, rowid",
    )
    return rows.map((row) => JSON.parse(String(row.body)))
  }
  rig.actions = async () => {
    const { rows } = await rig.door.database.read('SELECT action, outcome FROM audit ORDER BY seq')
    return rows.map((row) => `${row.action} ${row.outcome}`)
  }
  rig.row = async (sql, args = []) => (await rig.door.database.read(sql, args)).rows[0]
  return rig
}
