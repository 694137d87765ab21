// A host's history through the whole product: forgotten as its policy says, pruned, deleted days later, judged by restic.
import { randomBytes } from 'node:crypto'
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createClient } from '@libsql/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { useRestic } from '../rig/parts.ts'
import type { Restic } from '../rig/restic.ts'
import { eventually } from '../support/agent-process.ts'
import { compareTrees, printDifference } from '../support/compare-trees.ts'
import {
  diskRepository,
  type Fleet,
  type FleetHost,
  type Job,
  startFleet,
} from '../support/fleet.ts'

const stock = await useRestic()

/** Content that only one backup has, in bytes: a pack. */
const PART = 3_000_000

// The agent waits longer after each restart of the control plane before it dials again: up to a minute.
describe.skipIf(stock.missing)('A history', { timeout: 300_000 }, () => {
  let fleet: Fleet
  let host: FleetHost
  let restic: Restic
  let source = ''
  let wanted = ''

  beforeAll(async () => {
    fleet = await startFleet()
    source = join(fleet.folder, 'source')
    mkdirSync(source)
    host = await fleet.host('web-1', { directories: [source] })
    await host.offers(`directory:${source}`)
  })
  afterAll(() => fleet?.stop())

  /** As if so many days had gone by for what these statements touch; the control plane takes it up at once. */
  async function daysLater(...statements: string[]): Promise<void> {
    await fleet.killPlane()
    const database = createClient({ url: `file:${join(fleet.data, 'holdfast.db')}` })
    for (const statement of statements) await database.execute(statement)
    database.close()
    await fleet.startPlane()
  }
  const stored = () => {
    const root = diskRepository(fleet.data, host.repository)
    let bytes = 0
    for (const folder of ['data', 'index']) {
      for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
        if (entry.isFile()) bytes += statSync(join(entry.parentPath, entry.name)).size
    }
    return bytes
  }
  const known = async () => {
    const headers = { authorization: `Bearer ${fleet.token}` }
    const answer = await fetch(`${fleet.url}/api/v1/repositories/${host.repository}`, { headers })
    return ((await answer.json()) as { bytes: number }).bytes
  }
  const packs = async () => (await restic.list('packs')).length
  const snapshots = async () => (await fleet.list('snapshots')) as unknown as { id: string }[]
  const prune = () => fleet.job('prune', host.name) as Promise<Job>

  test('of three backups is cut to the last by its policy, and says so before', async () => {
    for (const round of ['one', 'two', 'three']) {
      for (const name of readdirSync(source)) rmSync(join(source, name))
      writeFileSync(join(source, `big-${round}`), randomBytes(PART))
      writeFileSync(join(source, 'small'), `the same in all, but for ${round}`)
      const job = await host.backup(`directory:${source}`)
      expect(job).toMatchObject({ outcome: 'succeeded' })
      wanted = job.snapshot ?? ''
    }
    restic = fleet.restic(host)
    const file = join(fleet.folder, 'policy.yaml')
    writeFileSync(
      file,
      `apiVersion: holdfast/v1\nkind: Policy\nname: short\nselect:\n  directories: ["${source}"]\nretention:\n  keep-last: 1\n`,
    )
    await fleet.run('policy', 'apply', '-f', file)
    const preview = await fleet.list('retention', 'preview', 'short')
    // All three came within the floor of a week.
    expect(preview).toHaveLength(3)
    for (const { reasons } of preview) expect(reasons).toContain('younger than the retention floor')
    await daysLater(
      'UPDATE snapshots SET received_at = received_at - 8 * 86400000',
      'UPDATE repositories SET judged_at = 0',
    )
    await eventually('two were forgotten', async () => (await snapshots()).length === 1, 30)
    expect((await restic.snapshots()).map(({ id }) => id)).toEqual([wanted])
    await restic.check({ readData: true })
  })

  test('is pruned only with a word where so much goes, and nothing is deleted yet', async () => {
    const before = await packs()
    const waits = await prune()
    expect(waits).toMatchObject({ outcome: 'warning', reason: 'needs-approval' })
    const pruned = (await fleet.job('prune', 'approve', waits.id)) as Job
    expect(pruned).toMatchObject({ outcome: 'succeeded', reason: 'completed' })
    expect(await packs()).toBeGreaterThanOrEqual(before)
    await restic.check({ readData: true })
  })

  test('loses its packs after the floor, once a later prune confirmed them', async () => {
    const before = await packs()
    await daysLater('UPDATE condemned SET at = at - 8 * 86400000')
    expect(await packs()).toBe(before)
    expect(await prune()).toMatchObject({ outcome: 'succeeded' })
    // The next round of the timer.
    await daysLater()
    await eventually('the packs were deleted', async () => (await packs()) < before, 30)
    await restic.check({ readData: true })
    expect(await known()).toBe(stored())
    expect(stored()).toBeLessThan(PART * 1.5)
    const target = join(fleet.folder, 'by-restic')
    await restic.restore(wanted, target)
    const { differences } = compareTrees(source, join(target, source))
    expect(differences.map(printDifference)).toEqual([])
  })

  test('goes on: the next backup finds what is there, and verifies', async () => {
    const job = await host.backup(`directory:${source}`)
    expect(job).toMatchObject({ outcome: 'succeeded' })
    wanted = job.snapshot ?? ''
    const verified = (await fleet.job('verify', '--host', host.name, '--read-data')) as Job
    expect(verified).toMatchObject({ outcome: 'succeeded' })
  })

  test('that stock restic changed is taken up: a copy with other tags, a backup of its own', async () => {
    await restic.run('tag', '--add', 'gold', wanted)
    const own = join(fleet.folder, 'own')
    mkdirSync(own)
    writeFileSync(join(own, 'file'), 'by hand')
    const foreign = await restic.backup([own])
    await daysLater(
      'UPDATE snapshots SET received_at = received_at - 86400000',
      'UPDATE repositories SET reconciled_at = 0',
    )
    expect(await prune()).toMatchObject({ outcome: 'succeeded' })
    const listed = (await fleet.list('snapshots')) as unknown as {
      id: string
      foreign: boolean
      job: string | null
      source: string
    }[]
    expect(listed.find(({ id }) => id === foreign)).toMatchObject({ foreign: true, job: null })
    const tagged = (await restic.snapshots()).find(({ original }) => original === wanted)
    const copy = listed.find(({ id }) => id === tagged?.id)
    expect(copy).toMatchObject({ foreign: false, source: `directory:${source}` })
    expect(copy?.job).toBeTruthy()
    expect(listed.map(({ id }) => id)).not.toContain(wanted)
    await restic.check({ readData: true })
    const claimed = await fleet.run('retention', 'claim', foreign.slice(0, 8), '--policy', 'short')
    expect(claimed).toEqual({ id: foreign })
    expect(await fleet.run('hold', 'add', foreign, '--why', 'case 12')).toEqual({ id: foreign })
    const preview = await fleet.list('retention', 'preview', host.name)
    expect(preview.find(({ id }) => id === foreign)?.reasons).toContain('held')
    expect(await fleet.run('hold', 'remove', foreign)).toEqual({ id: foreign })
    const vault = String((await fleet.list('vault', 'list')).at(0)?.name)
    expect(await fleet.run('vault', 'floor', vault, '30')).toMatchObject({ retentionFloorDays: 30 })
  })
})
