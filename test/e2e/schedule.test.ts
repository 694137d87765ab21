// Policies run by themselves: once for each slot, and what did not run is written down.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@libsql/client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { eventually } from '../support/agent-process.ts'
import { type Fleet, type FleetHost, type Job, startFleet } from '../support/fleet.ts'

/** Seconds between two slots: more than a run takes, and few enough to wait for some. */
const EVERY = 6

let fleet: Fleet
let host: FleetHost
let source = ''

beforeAll(async () => {
  fleet = await startFleet()
  source = join(fleet.folder, 'source')
  mkdirSync(source)
  writeFileSync(join(source, 'file'), 'content')
  host = await fleet.host('web-1', { directories: [source] })
  await host.offers(`directory:${source}`)
})
afterAll(() => fleet?.stop())

function policy(name: string, cron: string): string {
  const file = join(fleet.folder, 'policy.yaml')
  const lines = [
    'apiVersion: holdfast/v1',
    'kind: Policy',
    `name: ${name}`,
    'select:',
    `  directories: ["${source}"]`,
    'schedule:',
    `  cron: "${cron}"`,
    '  timezone: Europe/Berlin',
  ]
  writeFileSync(file, `${lines.join('\n')}\n`)
  return file
}
const runs = async (name = 'often') =>
  (await fleet.list('jobs', '--policy', name, '--kind', 'backup')) as unknown as Job[]

test('a policy is applied, shown with what it covers, and applied again without a change', async () => {
  const file = policy('often', `*/${EVERY} * * * * *`)
  const applied = await fleet.run('policy', 'apply', '-f', file)
  expect(applied).toMatchObject({ name: 'often', change: 'created' })
  expect(applied.covers).toMatchObject([{ source: `directory:${source}` }])
  expect(await fleet.run('policy', 'apply', '-f', file)).toMatchObject({ change: 'unchanged' })
  const [listed] = await fleet.list('sources')
  expect(listed).toMatchObject({ policies: ['often'] })
})

test('each of its slots becomes one job, which succeeds', async () => {
  const good = async () => (await runs()).filter(({ outcome }) => outcome === 'succeeded')
  await eventually('three slots had run', async () => (await good()).length >= 3, 60)
  const slots = (await runs()).map(({ slotAt }) => slotAt)
  expect(new Set(slots).size).toBe(slots.length)
  for (const slot of slots) expect(new Date(slot!).getUTCSeconds() % EVERY).toBe(0)
  expect((await fleet.list('snapshots')).length).toBeGreaterThanOrEqual(3)
})

test('slots that passed while the control plane was down are missed, each once, and the newest runs', async () => {
  await fleet.run('policy', 'apply', '-f', policy('minutely', '0 * * * * *'))
  await fleet.killPlane()
  // Five minutes of being down, without the waiting: the next slot is moved back.
  const database = createClient({ url: `file:${join(fleet.data, 'holdfast.db')}` })
  await database.execute("UPDATE policies SET next_at = next_at - 300000 WHERE name = 'minutely'")
  database.close()
  await fleet.startPlane()
  const ended = async () => (await runs('minutely')).filter(({ state }) => state === 'finished')
  await eventually(
    'the newest slot had run',
    async () => (await ended()).some(({ outcome }) => outcome === 'succeeded'),
    30,
  )
  const missed = (await ended()).filter(({ outcome }) => outcome === 'missed')
  expect(missed.filter(({ reason }) => reason === 'plane-was-down').length).toBeGreaterThan(1)
  const slots = (await runs('minutely')).map(({ slotAt }) => slotAt)
  expect(slots.length).toBeGreaterThan(3)
  expect(new Set(slots).size).toBe(slots.length)
  await fleet.run('policy', 'delete', 'minutely')
})

test('a policy that is deleted runs no more, and its snapshots stay', async () => {
  await fleet.run('policy', 'delete', 'often')
  await eventually(
    'nothing was left to run',
    async () => (await fleet.list('jobs', '--state', 'running')).length === 0,
    30,
  )
  const before = (await fleet.list('jobs')).length
  await new Promise((done) => setTimeout(done, EVERY * 1_500))
  expect((await fleet.list('jobs')).length).toBe(before)
  expect((await fleet.list('snapshots')).length).toBeGreaterThanOrEqual(3)
})
