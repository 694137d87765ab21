// A policy's limits, from its document to the bytes on the wire: changed while a job of it runs.
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { eventually } from '../support/agent-process.ts'
import { type Fleet, type FleetHost, type Job, startFleet } from '../support/fleet.ts'

const MIB = 2 ** 20
/** At the first rate, 128 KiB a second, it would take so many seconds. */
const slowSeconds = 160

let fleet: Fleet
let host: FleetHost
let source = ''

beforeAll(async () => {
  fleet = await startFleet()
  source = join(fleet.folder, 'source')
  mkdirSync(source)
  writeFileSync(join(source, 'file'), randomBytes((slowSeconds * MIB) / 8))
  host = await fleet.host('web-1', { directories: [source] })
  await host.offers(`directory:${source}`)
})
afterAll(() => fleet?.stop())

async function apply(limits: object | undefined) {
  const file = join(fleet.folder, 'policy.yaml')
  const document = {
    apiVersion: 'holdfast/v1',
    kind: 'Policy',
    name: 'slow',
    select: { directories: [source] },
    ...(limits === undefined ? {} : { limits }),
  }
  writeFileSync(file, stringify(document))
  return fleet.attempt('policy', 'apply', '-f', file)
}
const job = async () =>
  ((await fleet.list('jobs', '--policy', 'slow', '--kind', 'backup')) as unknown as Job[])[0]

test('limits are part of the document, and a size that is none is refused by its rule', async () => {
  const wrong = await apply({ upload: 'fast' })
  expect(wrong.exitCode).toBe(1)
  expect(`${wrong.stderr}${wrong.stdout}`).toContain('must be a size such as 512K, 10M or 1.5G')
  expect((await apply({ upload: '128K', nice: 15 })).exitCode).toBe(0)
  expect(await fleet.run('policy', 'show', 'slow')).toMatchObject({
    document: { limits: { upload: '128K', nice: 15 } },
  })
})

test('a job that runs gets new limits as soon as they are applied', async () => {
  expect((await apply({ upload: '128K', nice: 15 })).exitCode).toBe(0)
  await fleet.run('backup', '--policy', 'slow', '--no-wait')
  await eventually('it runs', async () => (await job())?.state === 'running', 30)
  const begun = performance.now()
  await new Promise((resolve) => setTimeout(resolve, 4_000))
  expect(await job()).toMatchObject({ state: 'running' })
  const stat = readFileSync(`/proc/${host.mover()}/stat`, 'utf8')
  expect(Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16])).toBe(15)
  expect((await apply({ upload: '20M', nice: 15 })).exitCode).toBe(0)
  await eventually('it has ended', async () => (await job())?.state === 'finished', slowSeconds)
  expect(await job()).toMatchObject({ outcome: 'succeeded' })
  expect((performance.now() - begun) / 1_000).toBeLessThan(slowSeconds / 2)
}, 200_000)
