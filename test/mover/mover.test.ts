// The real mover process against a plane that is a directory: made, backed up, restored, judged by stock restic.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Decrypter } from 'age-encryption'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { useRestic } from '../rig/parts.ts'
import { createRestic, type Restic } from '../rig/restic.ts'
import { makeAwkwardTree } from '../support/awkward-tree.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { backupOf, type Host, makeHost, restoreOf, runMover } from './drive.ts'
import { type FakePlane, startFakePlane } from './fake-plane.ts'

const stock = await useRestic()

describe.skipIf(stock.missing)('the mover', () => {
  let folder: string
  let host: Host
  let plane: FakePlane
  let restic: Restic
  let source: string

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-mover-'))
    host = await makeHost(join(folder, 'state'))
    mkdirSync(host.state)
    plane = await startFakePlane(join(folder, 'repository'))
    source = join(folder, 'source')
    mkdirSync(source)
    makeAwkwardTree(source, { bodyBytes: 30_000_000, seed: 'mover' })
  })
  afterAll(async () => {
    restic?.close()
    await plane.close()
    rmSync(folder, { recursive: true, force: true })
  })

  it('makes a repository whose two passwords open with stock restic', async () => {
    const ran = await runMover(host, plane, [{ parameters: { kind: 'init' } }])
    expect(ran.stderr).toBe('')
    expect(ran.done).toMatchObject([{ outcome: 'succeeded', reason: 'completed' }])
    expect(ran.code).toBe(0)
    restic = createRestic({ repository: plane.directory, password: host.password })
    await restic.check()

    const opener = new Decrypter()
    opener.addIdentity(host.recovery.identity)
    const recovery = await opener.decrypt(Buffer.from(plane.escrow!.sealed, 'base64'), 'text')
    expect(recovery).not.toBe(host.password)
    const other = createRestic({ repository: plane.directory, password: recovery })
    await other.check()
    other.close()
    expect(ran.said).not.toContain(recovery)
    expect(ran.said).not.toContain(host.password)
  })

  it('backs up a volume that stock restic checks and restores without a difference', async () => {
    const ran = await runMover(host, plane, [backupOf('pgdata', source)])
    expect(ran.stderr).toBe('')
    expect(ran.done).toMatchObject([{ outcome: 'succeeded', reason: 'completed' }])
    expect(ran.released).toHaveLength(1)
    await restic.check()
    const [snapshot] = await restic.snapshots()
    expect(snapshot).toMatchObject({
      hostname: 'web-1',
      paths: ['/volumes/pgdata'],
      tags: [`job:${ran.done[0]!.job}`, 'policy:nightly'],
    })
    expect(snapshot?.id).toBe(plane.receipts[0]?.snapshot)
    expect(await restic.list('locks')).toEqual([])

    const target = join(folder, 'by-restic')
    await restic.restore(snapshot!.id, target)
    // restic 0.14 fills holes.
    const { differences, entries } = compareTrees(source, join(target, 'volumes/pgdata'), {
      ignoreSockets: true,
      ignore: ['allocation-grew'],
    })
    // restic reads a link's raw target since 0.16 only; ours below restores it.
    const told = differences.filter(({ path }) => path !== 'links/not-utf8')
    expect(told).toEqual([])
    expect(entries).toBeGreaterThan(30)
  })

  it('restores it itself without a difference', async () => {
    const target = join(folder, 'by-us')
    mkdirSync(target)
    const { snapshot } = plane.receipts[0]!
    const ran = await runMover(host, plane, [restoreOf(snapshot, 'pgdata', target)])
    expect(ran.stderr).toBe('')
    expect(ran.done).toMatchObject([{ outcome: 'succeeded', reason: 'completed' }])
    expect(compareTrees(source, target, { ignoreSockets: true }).differences).toEqual([])
  })

  it('sends nothing but one snapshot when nothing changed', async () => {
    const before = plane.requests.length
    const { snapshot: parent, tree } = plane.receipts[0]!
    const ran = await runMover(host, plane, [backupOf('pgdata', source, { parent })])
    expect(ran.done).toMatchObject([
      { outcome: 'succeeded', counts: { filesNew: 0, filesChanged: 0, bytesStored: 0 } },
    ])
    expect(plane.requests.length).toBe(before)
    const receipt = plane.receipts.at(-1)!
    expect(receipt).toMatchObject({ tree, parent, packs: [], indexes: [] })
    // Everything it needs, said without its parent's help: nothing was stored, so just what the first one stored.
    const all = plane.receipts[0]!.packs.map(({ id }) => id)
    expect(receipt.refers.base).toBe(null)
    expect([...receipt.refers.packs].sort()).toEqual(all.sort())
    await restic.check()
  })

  it('carries out a batch under one lock and index, each job with its own end', async () => {
    const other = join(folder, 'other')
    mkdirSync(other)
    writeFileSync(join(other, 'file'), 'content')
    const asked = plane.asked.length
    const ran = await runMover(host, plane, [
      backupOf('one', other),
      backupOf('two', other),
      backupOf('gone', join(folder, 'not-there')),
      { ...backupOf('unprepared', other), prepared: {} },
    ])
    expect(ran.done.map(({ outcome, reason }) => `${outcome} ${reason}`).sort()).toEqual([
      'failed source-missing',
      'failed source-missing',
      'succeeded completed',
      'succeeded completed',
    ])
    const names = plane.asked.slice(asked).map(({ name }) => name)
    expect(names.filter((name) => name === 'lock')).toHaveLength(1)
    expect(names.filter((name) => name === 'listing')).toHaveLength(1)
    expect(names.filter((name) => name === 'commit')).toHaveLength(2)
    const [one, two] = plane.receipts.slice(-2)
    expect(one?.indexes).toHaveLength(1)
    expect(two?.indexes).toHaveLength(0)
    // The second found everything in packs of the first, and says so.
    expect(two?.refers.packs.length).toBeGreaterThan(0)
    await restic.check()
  })
})
