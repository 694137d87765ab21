import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HOUR } from '../../shared/clock.ts'
import { systemClock } from '../../test/support/system-clock.ts'
import type { BatchDeps } from './batch.ts'
import { type Journal, openJournal } from './journal.ts'
import { createSupervisor } from './supervisor.ts'

const BATCH = '01890000-0000-7000-8000-0000000000b1'
const JOB = '01890000-0000-7000-8000-0000000000a1'
const OTHER = '01890000-0000-7000-8000-0000000000a2'

let folder: string
let journal: Journal
let errors: string[]
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

function supervisor() {
  const log = { info() {}, warn() {}, error: (message: string) => void errors.push(message) }
  const reports = { nudge() {}, repeat() {}, run: async () => {} }
  const paths = { password: '', cache: '', work: join(folder, 'work') }
  const engine = () => undefined
  // What only running batches need is left out.
  const deps: Partial<BatchDeps> = {
    journal,
    log,
    reports,
    clock: systemClock,
    paths,
    engine,
    host: '',
  }
  return createSupervisor(deps as BatchDeps)
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
})
