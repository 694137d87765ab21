import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openJournal } from './journal.ts'

const BATCH = '01890000-0000-7000-8000-0000000000b1'
const JOB = '01890000-0000-7000-8000-0000000000a1'
const reserve = { release: () => false, refill: () => true }
const finish = {
  job: JOB,
  attempt: 1,
  fence: 1,
  outcome: 'succeeded',
  reason: 'completed',
} as const
const container = { id: 'c1', name: 'web', wasPaused: false }

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-journal-'))
  path = join(folder, 'journal')
})
afterEach(() => rmSync(folder, { recursive: true }))
const open = (at = path) => openJournal({ path: at, reserve }).journal

describe('the journal', () => {
  it('knows after a restart what was begun, stopped, made and not yet told', () => {
    const journal = open()
    journal.accept(BATCH, [{ job: JOB, attempt: 1, fence: 1, kind: 'backup' }])
    journal.moverStarted(BATCH, { pid: 4, started: '5@boot' })
    journal.stopping(BATCH, JOB, container)
    journal.making(JOB, 'volume:copy')
    journal.keep('/old', 7)
    journal.finish(BATCH, finish)
    const next = open()
    expect(next.batches.get(BATCH)).toMatchObject({ closed: false, mover: { pid: 4 } })
    expect(next.stopped).toEqual([{ batch: BATCH, job: JOB, container }])
    expect(next.wasMadeFor(JOB, 'volume:copy')).toBe(true)
    expect(next.wasMadeFor(BATCH, 'volume:copy')).toBe(false)
    expect(next.kept).toEqual([{ path: '/old', until: 7 }])
    expect(next.unsent).toMatchObject([{ batch: BATCH, request: finish }])
  })

  it('forgets what was undone and told', () => {
    const journal = open()
    journal.accept(BATCH, [{ job: JOB, attempt: 1, fence: 1, kind: 'backup' }])
    journal.stopping(BATCH, JOB, container)
    journal.restarted('c1')
    journal.keep('/old', 7)
    journal.removed('/old')
    journal.finish(BATCH, finish)
    journal.acknowledge(journal.unsent[0]!)
    journal.close(BATCH)
    for (const one of [journal, open(), open()]) {
      expect(one.stopped).toEqual([])
      expect(one.kept).toEqual([])
      expect(one.unsent).toEqual([])
      expect(one.batches.get(BATCH)).toMatchObject({
        closed: true,
        reports: [{ acknowledged: true }],
      })
    }
  })

  it('is a state it once had when it is cut at any byte', () => {
    const journal = open()
    journal.accept(BATCH, [{ job: JOB, attempt: 1, fence: 1, kind: 'backup' }])
    journal.stopping(BATCH, JOB, container)
    journal.finish(BATCH, finish)
    journal.restarted('c1')
    const { length } = readFileSync(path)
    for (let cut = length; cut >= 0; cut--) {
      const copy = join(folder, 'copy')
      copyFileSync(path, copy)
      truncateSync(copy, cut)
      const found = open(copy)
      const state = [found.batches.size, found.stopped.length, found.unsent.length].join()
      expect(['0,0,0', '1,0,0', '1,1,0', '1,1,1', '1,0,1']).toContain(state)
      found.end()
    }
  })

  it('keeps the reports of the last fifty batches and no more', () => {
    const journal = open()
    const idOf = (n: number) => `01890000-0000-7000-8000-${String(n).padStart(12, '0')}`
    for (let n = 0; n < 80; n++) {
      journal.accept(idOf(n), [])
      journal.close(idOf(n))
    }
    expect([...open().batches.keys()]).toEqual(Array.from({ length: 50 }, (_, n) => idOf(n + 30)))
  })
})
