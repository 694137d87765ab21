import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  createMemoryClock,
  createSeededRandom,
  type MemoryClock,
} from '../../../test/support/memory-clock.ts'
import type { Queue } from '../../ports/queue.ts'
import { type Database, openDatabase } from './client.ts'
import { createQueue } from './queue.ts'

let directory: string
let database: Database
let clock: MemoryClock
let queue: Queue
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-queue-'))
  database = await openDatabase({ url: `file:${join(directory, 'a.db')}` })
  clock = createMemoryClock()
  queue = createQueue(database, { clock, random: createSeededRandom('queue') })
})
afterEach(() => {
  database.close()
  rmSync(directory, { recursive: true })
})

describe('the queue', () => {
  it('gives a message once, hides it, and gives it again when nobody acknowledged', async () => {
    await queue.send('a', 'one', 0)
    const [first] = await queue.receive('a', 10, 1_000)
    expect(first).toMatchObject({ topic: 'a', body: 'one', attempt: 1 })
    expect(await queue.receive('a', 10, 1_000)).toEqual([])
    clock.advance(1_000)
    const [second] = await queue.receive('a', 10, 1_000)
    expect(second).toMatchObject({ id: first!.id, attempt: 2 })
    await queue.acknowledge(second!)
    clock.advance(10_000)
    expect(await queue.receive('a', 10, 1_000)).toEqual([])
  })

  it('ignores an acknowledgement or a postponement that comes too late', async () => {
    await queue.send('a', 'one', 0)
    const [first] = await queue.receive('a', 10, 1_000)
    clock.advance(1_000)
    const [second] = await queue.receive('a', 10, 1_000)
    await queue.acknowledge(first!)
    await queue.postpone(first!, 3_600_000)
    clock.advance(1_000)
    const [third] = await queue.receive('a', 10, 1_000)
    expect(third).toMatchObject({ id: second!.id, attempt: 3 })
  })

  it('waits for delays, keeps topics apart, and gives the oldest first', async () => {
    await queue.send('a', 'later', 5_000)
    await queue.send('b', 'other', 0)
    clock.advance(1)
    await queue.send('a', 'first', 0)
    clock.advance(1)
    await queue.send('a', 'second', 0)
    const now = await queue.receive('a', 1, 1_000)
    expect(now.map(({ body }) => body)).toEqual(['first'])
    clock.advance(5_000)
    const rest = await queue.receive('a', 10, 1_000)
    expect(rest.map(({ body }) => body).sort()).toEqual(['first', 'later', 'second'])
    expect((await queue.receive('b', 10, 1_000)).map(({ body }) => body)).toEqual(['other'])
  })

  it('gives each of a hundred messages to one of eight receivers', async () => {
    for (let i = 0; i < 100; i++) await queue.send('a', String(i), 0)
    const takes = await Promise.all(Array.from({ length: 8 }, () => queue.receive('a', 20, 60_000)))
    const bodies = takes.flat().map(({ body }) => Number(body))
    expect(bodies).toHaveLength(100)
    expect(new Set(bodies).size).toBe(100)
  })

  it('gives back for a while what is postponed', async () => {
    await queue.send('a', 'one', 0)
    const [message] = await queue.receive('a', 10, 1_000)
    await queue.postpone(message!, 30_000)
    clock.advance(29_999)
    expect(await queue.receive('a', 10, 1_000)).toEqual([])
    clock.advance(1)
    expect(await queue.receive('a', 10, 1_000)).toHaveLength(1)
  })
})
