// What lies between a host and its control plane fails in every way: what runs goes on, and is done once.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { useRestic } from '../rig/parts.ts'
import { freePorts } from '../rig/ports.ts'
import { startTcpProxy, type TcpProxy } from '../rig/tcp-proxy.ts'
import { eventually } from '../support/agent-process.ts'
import { type Fleet, type FleetHost, type Job, startFleet } from '../support/fleet.ts'
import { createSeeded } from '../support/seeded.ts'

const installed = await useRestic()

/** Bytes of the source, and of the cable per second: the upload alone takes about four seconds. */
const SOURCE = 16_000_000
const BANDWIDTH = 4_000_000

describe.skipIf(installed.missing)('A backup whose cable', () => {
  let fleet: Fleet
  let host: FleetHost
  let cable: TcpProxy
  let source: string
  const jobs: string[] = []

  beforeAll(async () => {
    const [port] = await freePorts(1)
    cable = await startTcpProxy({ port: port! })
    fleet = await startFleet({ port: port!, publicUrl: `http://127.0.0.1:${cable.port}` })
    source = join(fleet.folder, 'source')
    mkdirSync(source)
    host = await fleet.host('web-1', { directories: [source] })
    await host.offers(`directory:${source}`)
    refill('calm')
    const calm = await host.backup(`directory:${source}`)
    expect(calm.outcome).toBe('succeeded')
    jobs.push(calm.id)
    cable.bandwidth = BANDWIDTH
  })
  afterAll(async () => {
    await fleet?.stop()
    await cable?.stop()
  })

  function refill(seed: string): void {
    const seeded = createSeeded(seed)
    for (let i = 0; i < 8; i++) writeFileSync(join(source, `file-${i}`), seeded.bytes(SOURCE / 8))
  }

  /** Starts a backup of new content and resolves once a tenth of it is on its way. */
  async function underWay(seed: string): Promise<string> {
    refill(seed)
    const before = cable.sent
    const words = ['backup', '--host', 'web-1', '--directory', source, '--no-wait']
    const { id } = await fleet.run(...words)
    await eventually('data was on its way', () => cable.sent - before > SOURCE / 10, 30)
    jobs.push(id as string)
    return id as string
  }
  const ended = (id: string): Promise<Job> => fleet.job('job', 'watch', id)

  test('is cut ends as if nothing had been', async () => {
    const id = await underWay('cut')
    for (let i = 0; i < 3; i++) {
      cable.cut()
      await sleep(300)
    }
    expect(await ended(id)).toMatchObject({ outcome: 'succeeded', attempt: 1 })
  })

  test('swallows everything for some seconds goes on when it gives back', async () => {
    const id = await underWay('hole')
    cable.hold(true)
    await sleep(5_000)
    cable.hold(false)
    expect(await ended(id)).toMatchObject({ outcome: 'succeeded', attempt: 1 })
  })

  test('is away for a while commits when it is back', async () => {
    const id = await underWay('away')
    cable.refuse(true)
    cable.cut()
    await sleep(6_000)
    expect((await fleet.run('jobs', '--limit', '1')).state).toBe('running')
    cable.refuse(false)
    expect(await ended(id)).toMatchObject({ outcome: 'succeeded', attempt: 1 })
  })

  test('holds while the control plane is killed and starts again completes, once', async () => {
    const id = await underWay('killed plane')
    await fleet.killPlane()
    await sleep(1_000)
    await fleet.startPlane()
    expect(await ended(id)).toMatchObject({ outcome: 'succeeded', attempt: 1 })
  })

  test('holds while a person cancels it ends as cancelled, with 130', async () => {
    refill('cancelled')
    const id = await underWay('cancelled')
    jobs.pop()
    await fleet.run('cancel', id)
    const ran = await fleet.attempt('job', 'watch', id)
    expect(ran.exitCode).toBe(130)
    expect(ran.json.at(-1)).toMatchObject({
      outcome: 'cancelled',
      reason: 'cancelled-by-person',
      snapshot: null,
    })
    await eventually('the mover was gone', () => host.mover() === undefined, 30)
  })

  test('broke off has left one snapshot for each job that ended well, and nothing else', async () => {
    cable.bandwidth = Number.POSITIVE_INFINITY
    const restic = fleet.restic(host)
    await restic.check({ readData: true })
    const tags = (await restic.snapshots()).map(({ tags }) => tags?.[0])
    expect(tags.toSorted()).toEqual(jobs.map((id) => `job:${id}`).toSorted())
    expect(await restic.list('locks')).toEqual([])
  })
})
