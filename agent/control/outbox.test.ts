import { mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Inventory } from '../../shared/backup/inventory.ts'
import type { AgentEvent } from '../../shared/protocol/calls.ts'
import { openOutbox } from './outbox.ts'

const FIRST = '01890000-0000-7000-8000-000000000001'
const SECOND = '01890000-0000-7000-8000-000000000002'
const clock = { now: () => 0, monotonic: () => 0, sleep: async () => {} }
const reserve = { release: () => false, refill: () => true }
const alive: AgentEvent = { kind: 'alive' }
const notice = (message: string): AgentEvent => ({ kind: 'notice', code: 'docker-back', message })
function inventory(directory: string): AgentEvent {
  const empty: Inventory = {
    at: '2026-01-01T00:00:00.000Z',
    volumes: [],
    mounts: [],
    containers: [],
    directories: [directory],
  }
  return { kind: 'inventory', inventory: empty }
}

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-outbox-'))
  path = join(folder, 'outbox')
})
afterEach(() => rmSync(folder, { recursive: true }))
const open = (boot = FIRST) => openOutbox({ path, reserve, boot, clock }).outbox
const kinds = (outbox: ReturnType<typeof open>) =>
  outbox.next().map(({ event }) => (event.kind === 'notice' ? event.message : event.kind))

describe('the outbox', () => {
  it('numbers events, and keeps them until they are acknowledged', () => {
    const outbox = open()
    for (const text of ['one', 'two', 'three']) outbox.add(notice(text))
    expect(outbox.next().map(({ seq }) => seq)).toEqual([1, 2, 3])
    outbox.acknowledge(FIRST, 2)
    expect(kinds(outbox)).toEqual(['three'])
  })

  it('survives a kill: the next run sends what the last one could not, under its own numbers', () => {
    open().add(notice('from before'))
    const next = open(SECOND)
    next.add(notice('from now'))
    expect(next.next()).toMatchObject([{ boot: FIRST, seq: 1, event: { message: 'from before' } }])
    next.acknowledge(FIRST, 1)
    expect(next.next()).toMatchObject([{ boot: SECOND, seq: 1, event: { message: 'from now' } }])
  })

  it('loses only the event that was being written when it is cut at any byte', () => {
    const outbox = open()
    for (const text of ['one', 'two']) outbox.add(notice(text))
    const { length } = readFileSync(path)
    for (let cut = length - 1; cut > 0; cut -= 7) {
      truncateSync(path, cut)
      const left = kinds(open())
      expect(['one', 'two'].slice(0, left.length)).toEqual(left)
    }
  })

  it('keeps only the newest of what a newer event says in full', () => {
    const outbox = open()
    for (const event of [alive, inventory('/a'), notice('n'), alive, inventory('/b')])
      outbox.add(event)
    expect(kinds(outbox)).toEqual(['n', 'alive', 'inventory'])
    expect(outbox.next().at(-1)).toMatchObject({ event: { inventory: { directories: ['/b'] } } })
  })

  it('does not take away what is on its way', () => {
    const outbox = open()
    outbox.add(alive)
    expect(outbox.next()).toHaveLength(1)
    outbox.add(alive)
    expect(outbox.next().map(({ seq }) => seq)).toEqual([1, 2])
  })

  it('stays small when one thing happens again and again while nobody listens', () => {
    const outbox = open()
    for (let i = 0; i < 500; i++) outbox.add(notice(`n${i}`))
    expect(outbox.size).toBe(100)
    expect(outbox.next()[0]).toMatchObject({ event: { message: 'n400' } })
  })

  it('leaves an empty file behind when everything is acknowledged', () => {
    const outbox = open()
    for (let i = 0; i < 10; i++) outbox.add(notice(`n${i}`))
    outbox.acknowledge(FIRST, 10)
    expect(readFileSync(path)).toHaveLength(0)
    outbox.add(notice('later'))
    expect(open(SECOND).next()).toMatchObject([{ boot: FIRST, seq: 11 }])
  })

  it('wakes who waits for the next event', async () => {
    const outbox = open()
    const woken = outbox.waiting()
    outbox.add(alive)
    await woken
    await outbox.waiting()
  })
})
