// Limits that a mover keeps: bandwidth both ways, priorities of every thread, memory; and their change under way.
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { useRestic } from '../rig/parts.ts'
import { backupOf, restoreOf, runMover, startMover } from './drive.ts'
import { type Scene, setScene } from './scene.ts'

const stock = await useRestic()
const MIB = 2 ** 20

describe.skipIf(stock.missing)('limits of a mover', () => {
  let scene: Scene
  /** Bytes of bodies that reached the store, and when. */
  let arrived: { at: number; bytes: number }[]

  beforeAll(async () => {
    scene = await setScene()
  })
  afterAll(() => scene?.close())
  beforeEach(() => {
    arrived = []
    scene.plane.onRequest = (request) => {
      if (request.method === 'PUT') {
        request.on('data', (part: Buffer) =>
          arrived.push({ at: performance.now(), bytes: part.length }),
        )
      }
      return false
    }
  })

  function source(name: string, bytes: number): string {
    const path = scene.make(name)
    writeFileSync(join(path, 'file'), randomBytes(bytes))
    return path
  }
  /** Bytes a second that arrived in that time, from the first sign of it on. */
  function rate(from: number, to: number): number {
    const there = arrived.filter(({ at }) => at >= from && at < to)
    const time = there.at(-1)!.at - there[0]!.at
    // The first part's own time is not in it.
    return (there.slice(1).reduce((sum, { bytes }) => sum + bytes, 0) / time) * 1_000
  }
  const until = async (what: () => boolean) => {
    while (!what()) await new Promise((resolve) => setTimeout(resolve, 10))
  }

  // Tried again: on a machine at its limit what arrived in between is seen all at once.
  it('sends as fast as it may, and at once faster when it may', {
    timeout: 60_000,
    retry: 2,
  }, async () => {
    const path = source(`up ${performance.now()}`, 14 * MIB)
    const driving = startMover(scene.host, scene.plane, [backupOf('up', path)], {
      limits: { upload: 2 * MIB },
    })
    await until(() => arrived.length > 0)
    const begun = arrived[0]!.at
    await until(() => performance.now() - begun > 3_000)
    driving.limits({ upload: 5 * MIB })
    const changed = performance.now()
    const ran = await driving.ended
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    // What had left already still arrives for a moment.
    const slow = rate(begun, changed) / (2 * MIB)
    const fast = rate(changed + 300, changed + 1_400) / (5 * MIB)
    expect(slow).toBeGreaterThan(0.85)
    expect(slow).toBeLessThan(1.15)
    expect(fast).toBeGreaterThan(0.85)
    expect(fast).toBeLessThan(1.15)
  })

  it('reads back as fast as it may', async () => {
    const path = source('down', 6 * MIB)
    await runMover(scene.host, scene.plane, [backupOf('down', path)])
    const snapshot = scene.plane.receipts.at(-1)!.snapshot
    const limits = { download: 2 * MIB }
    const target = scene.make('target')
    const ran = await runMover(scene.host, scene.plane, [restoreOf(snapshot, 'down', target)], {
      limits,
    })
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(ran.done[0]!.counts!.milliseconds).toBeGreaterThan(6 * 500 * 0.85)
    expect(ran.done[0]!.counts!.milliseconds).toBeLessThan(6 * 500 * 1.15 + 5_000)
  }, 60_000)

  it('lowers the priority of every thread it has', async () => {
    const path = source('nice', 3 * MIB)
    const limits = { upload: MIB }
    const driving = startMover(scene.host, scene.plane, [backupOf('nice', path)], { limits })
    await until(() => arrived.length > 0)
    driving.limits({ ...limits, nice: 17, io: 'idle' })
    const nices = () =>
      readdirSync(`/proc/${driving.pid}/task`).map((thread) => {
        const stat = readFileSync(`/proc/${driving.pid}/task/${thread}/stat`, 'utf8')
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])
      })
    await until(() => nices().every((nice) => nice === 17))
    expect(nices().length).toBeGreaterThan(4)
    driving.limits({})
    expect((await driving.ended).done).toMatchObject([{ outcome: 'succeeded' }])
  }, 60_000)

  it('does not begin what cannot be done within its memory', async () => {
    const path = source('memory', MIB)
    const ran = await runMover(scene.host, scene.plane, [backupOf('memory', path)], {
      limits: { memory: 100 * MIB },
    })
    expect(ran.done).toMatchObject([{ outcome: 'failed', reason: 'memory-limit' }])
    expect(ran.done[0]!.message).toMatch(/^\d+ MiB are needed with an index of \d+ blobs, 100 MiB/)
    expect(arrived).toEqual([])
  }, 60_000)

  it('keeps within its memory', async () => {
    const path = source('large', 200 * MIB)
    const memory = 256 * MIB
    const ran = await runMover(scene.host, scene.plane, [backupOf('large', path)], {
      limits: { memory },
    })
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(ran.peakBytes).toBeLessThanOrEqual(memory)
  }, 120_000)
})
