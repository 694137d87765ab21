// The auditor's door: everything that was done is to be read, nothing else, and the reading is on record too.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { HoldfastCommand } from '../support/command.ts'
import { type Fleet, type FleetHost, type Job, startFleet } from '../support/fleet.ts'

let fleet: Fleet
let host: FleetHost
let job: Job
let auditor: HoldfastCommand
let auditorId = ''

beforeAll(async () => {
  fleet = await startFleet()
  const source = join(fleet.folder, 'source')
  mkdirSync(source)
  writeFileSync(join(source, '=1+1'), 'content')
  host = await fleet.host('web-1', { directories: [source] })
  await host.offers(`directory:${source}`)
  job = await host.backup(`directory:${source}`)
  const made = await fleet.run('token', 'create', 'ann', '--role', 'auditor')
  auditor = fleet.as({ HOLDFAST_TOKEN: made.token as string })
  auditorId = made.id as string
})
afterAll(() => fleet?.stop())

interface Entry {
  readonly seq: number
  readonly event: {
    readonly action: string
    readonly actor: string
    readonly job?: string
    readonly outcome: string
  }
}
const read = async (...words: string[]) =>
  (await auditor.list('audit', ...words)) as unknown as Entry[]

test('an auditor reads who did what, from the enrolment to the outcome', async () => {
  const actions = (await read('--limit', '500')).map(({ event }) => event.action)
  for (const action of [
    'host.enrolled',
    'job.queued',
    'grant.issued',
    'snapshot.accepted',
    'job.finished',
  ])
    expect(actions).toContain(action)
})

test('filters narrow it down', async () => {
  const ofJob = await read('--job', job.id)
  expect(ofJob.length).toBeGreaterThan(2)
  expect(new Set(ofJob.map(({ event }) => event.job))).toEqual(new Set([job.id]))
  const byHost = await read('--actor', `host:${host.id}`, '--action', 'job.*')
  expect(new Set(byHost.map(({ event }) => event.actor))).toEqual(new Set([`host:${host.id}`]))
  expect(await read('--since', '2100-01-01T00:00:00Z')).toEqual([])
  expect(await read('--outcome', 'failed')).toEqual([])
})

test('the reading itself is on record', async () => {
  const reads = await read('--action', 'audit.read', '--actor', `token:${auditorId}`)
  expect(reads.length).toBeGreaterThan(3)
})

test('an export holds every entry, in order, without a gap', async () => {
  const { stdout } = await auditor.attempt('audit', '--format', 'ndjson')
  const lines = stdout.toString().trimEnd().split('\n')
  const seqs = lines
    .map((line) => (JSON.parse(line) as { seq: number }).seq)
    .toSorted((a, b) => a - b)
  expect(seqs.length).toBeGreaterThan(10)
  expect(seqs).toEqual(seqs.map((_, i) => seqs[0]! + i))
  expect(seqs[0]).toBeLessThanOrEqual(1)
  const csv = (await auditor.attempt('audit', '--format', 'csv')).stdout.toString()
  expect(csv.split('\r\n')[0]).toMatch(/^seq,at,actor,action,target,outcome/)
  expect(csv.split('\r\n').length).toBeGreaterThan(lines.length)
})

test.each([
  [['hosts']],
  [['sources']],
  [['jobs']],
  [['snapshots']],
  [['policy', 'list']],
  [['vault', 'list']],
  [['token', 'list']],
  [['alert', 'list']],
  [['enroll-token']],
  [['backup', '--host', 'web-1', '--volume', 'x']],
  [['token', 'create', 'eve', '--role', 'admin']],
  [['hosts', 'remove', 'web-1']],
])('an auditor may not: holdfast %j', async (words) => {
  const ran = await auditor.attempt(...words)
  expect(ran.exitCode).toBe(1)
  expect(JSON.parse(ran.stderr)).toMatchObject({ code: 'forbidden' })
})

test('a token that is no longer good opens nothing', async () => {
  await fleet.run('token', 'revoke', auditorId)
  const ran = await auditor.attempt('audit')
  expect(ran.exitCode).toBe(1)
  expect(JSON.parse(ran.stderr)).toMatchObject({ code: 'unauthenticated' })
})
