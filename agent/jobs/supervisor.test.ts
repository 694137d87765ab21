import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HOUR, MINUTE } from '../../shared/clock.ts'
import { createMemoryClock } from '../../test/support/memory-clock.ts'
import { systemClock } from '../../test/support/system-clock.ts'
import type { Engine } from '../docker/engine.ts'
import { type Journal, openJournal } from './journal.ts'
import { createSupervisor, type SupervisorDeps } from './supervisor.ts'

const BATCH = '01890000-0000-7000-8000-0000000000b1'
const JOB = '01890000-0000-7000-8000-0000000000a1'
const OTHER = '01890000-0000-7000-8000-0000000000a2'

let folder: string
let journal: Journal
let errors: string[]

/** An engine that only knows containers and whether they run. */
function engineWith(states: Record<string, string>) {
  const refused = new Set<string>()
  const engine: Partial<Engine> = {
    containers: async () =>
      Object.entries(states).map(([id, state]) => ({
        id,
        name: `the ${id}`,
        image: '',
        state,
        labels: {},
        mounts: [],
      })),
    async start(id) {
      if (refused.has(id)) throw new Error(`${id} does not start`)
      states[id] = 'running'
      return true
    },
    async pause(id) {
      states[id] = 'paused'
    },
  }
  return { engine: engine as Engine, states, refused }
}
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-supervisor-'))
  const reserve = { release: () => false, refill: () => true }
  journal = openJournal({ path: join(folder, 'journal'), reserve }).journal
  errors = []
})
afterEach(() => {
  journal.end()
  rmSync(folder, { recursive: true })
})

function supervisor(more: Partial<SupervisorDeps> = {}) {
  const log = { info() {}, warn() {}, error: (message: string) => void errors.push(message) }
  const reports = { nudge() {}, repeat() {}, run: async () => {} }
  const paths = { password: '', cache: '', work: join(folder, 'work') }
  const engine = () => undefined
  // What only running batches need is left out.
  const deps: Partial<SupervisorDeps> = {
    journal,
    log,
    reports,
    clock: systemClock,
    paths,
    engine,
    host: '',
    ...more,
  }
  return createSupervisor(deps as SupervisorDeps)
}

/** Two folders that were exchanged: `target` shows the new tree, the old one lies beside it. */
function exchanged(name: string, job: string) {
  const target = join(folder, name)
  const beside = join(folder, `${name}.holdfast-${job}`)
  mkdirSync(beside)
  writeFileSync(join(beside, 'precious'), 'old')
  const { ino } = statSync(beside, { bigint: true })
  mkdirSync(target)
  journal.exchanging({ job, beside, target, inode: String(ino), keepHours: 24 })
  return { target, beside, old: `${beside}.old` }
}

describe('what a former run left', () => {
  it('settles exchanges whose batch was closed before it could settle them', async () => {
    const { old } = exchanged('one', JOB)
    journal.accept(BATCH, [{ job: JOB, attempt: 1, fence: 1, kind: 'restore' }])
    journal.close(BATCH)
    await supervisor().recover()
    expect(existsSync(join(old, 'precious'))).toBe(true)
    expect(journal.kept.map(({ path }) => path)).toEqual([old])
    expect(journal.exchanges).toEqual([])
  })

  it('lets an agent start although one exchange cannot be settled, and settles the others', async () => {
    const stuck = exchanged('one', JOB)
    mkdirSync(join(stuck.old, 'in the way'), { recursive: true })
    const fine = exchanged('two', OTHER)
    await supervisor().recover()
    expect(errors).toEqual(['an exchange could not be settled'])
    expect(existsSync(join(stuck.beside, 'precious'))).toBe(true)
    expect(existsSync(join(fine.old, 'precious'))).toBe(true)
    expect(journal.exchanges.map(({ job }) => job)).toEqual([JOB])
  })

  it('removes old trees whose time is over, and one that cannot be removed stops nothing', async () => {
    const over = join(folder, 'over')
    const later = join(folder, 'later')
    for (const path of [over, later]) mkdirSync(join(path, 'below'), { recursive: true })
    const { now } = systemClock
    const impossible = `${'x'.repeat(300)}`
    journal.keep(join(folder, impossible), now() - HOUR)
    journal.keep(over, now() - HOUR)
    journal.keep(later, now() + HOUR)
    const stop = new AbortController()
    const running = supervisor().run(stop.signal)
    await expect.poll(() => existsSync(over)).toBe(false)
    await expect.poll(() => journal.kept.some(({ path }) => path === over)).toBe(false)
    stop.abort()
    await running
    expect(errors).toEqual(['an old tree could not be removed'])
    expect(existsSync(later)).toBe(true)
    expect(journal.kept.map(({ path }) => path)).toEqual([join(folder, impossible), later])
  })

  it('tells of the containers that start although another one does not, and of that one later', async () => {
    const { engine, refused } = engineWith({ web: 'exited', database: 'exited' })
    refused.add('database')
    const told: string[] = []
    const one = supervisor({ onStarted: (names) => void told.push(...names) })
    for (const id of ['web', 'database']) {
      journal.stopping(BATCH, JOB, { id, name: `the ${id}`, wasPaused: false })
    }
    await one.recoverContainers(engine)
    expect(told).toEqual(['the web'])
    expect(errors[0]).toBe('containers could not be started again')
    refused.clear()
    await one.recoverContainers(engine)
    expect(told).toEqual(['the web', 'the database'])
    expect(journal.stopped).toEqual([])
  })

  it('starts a container whose stop the killed agent had only just asked for, once it has ended', async () => {
    const { engine, states } = engineWith({ slow: 'paused' })
    const told: string[] = []
    const one = supervisor({ onStarted: (names) => void told.push(...names) })
    journal.stopping(BATCH, JOB, { id: 'slow', name: 'the slow', wasPaused: true })
    await one.recoverContainers(engine)
    expect(told).toEqual([])
    expect(journal.stopped).toHaveLength(1)
    states.slow = 'exited'
    await one.recoverContainers(engine)
    expect(told).toEqual(['the slow'])
    expect(states.slow).toBe('paused')
  })

  it('believes after two minutes that a container was never stopped', async () => {
    const { engine, states } = engineWith({ web: 'running' })
    const clock = createMemoryClock()
    const told: string[] = []
    const one = supervisor({ clock, onStarted: (names) => void told.push(...names) })
    journal.stopping(BATCH, JOB, { id: 'web', name: 'the web', wasPaused: false })
    await one.recoverContainers(engine)
    expect(journal.stopped).toHaveLength(1)
    clock.advance(2 * MINUTE)
    await one.recoverContainers(engine)
    expect(journal.stopped).toEqual([])
    expect(told).toEqual([])
    expect(states.web).toBe('running')
  })
})
