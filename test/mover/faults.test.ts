// What the mover does when the store, the plane, the cache or a person get in its way.
import { mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Receipt } from '../../shared/backup/receipt.ts'
import { useRestic } from '../rig/parts.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { createSeeded } from '../support/seeded.ts'
import { backupOf, restoreOf, runMover, startMover } from './drive.ts'
import { damage, Refused } from './fake-plane.ts'
import { openAge, type Scene, setScene } from './scene.ts'

const stock = await useRestic()
const seeded = createSeeded('mover faults')

describe.skipIf(stock.missing)('the mover in trouble', () => {
  let scene: Scene
  let source: string
  let parent: string

  beforeAll(async () => {
    scene = await setScene()
    source = scene.make('source')
    for (let i = 0; i < 20; i++) writeFileSync(join(source, `file ${i}`), seeded.bytes(200_000))
    const ran = await runMover(scene.host, scene.plane, [backupOf('v', source)])
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    parent = scene.plane.receipts[0]!.snapshot
  })
  afterAll(() => scene?.close())
  beforeEach(() => {
    scene.plane.onAsk = () => {}
    scene.plane.afterAsk = () => {}
    scene.plane.onRequest = () => false
  })

  const run = (...wishes: Parameters<typeof runMover>[2]) =>
    runMover(scene.host, scene.plane, wishes)
  const lastReceipt = (): Receipt => scene.plane.receipts.at(-1)!
  const freshFile = (): void => writeFileSync(join(source, 'fresh'), seeded.bytes(300_000))

  it('waits out a store that asks for patience', async () => {
    freshFile()
    let refusals = 3
    scene.plane.onRequest = (request, response) => {
      if (request.method !== 'PUT' || refusals-- <= 0) return false
      response.writeHead(503).end('<Error><Code>SlowDown</Code></Error>')
      return true
    }
    const ran = await run(backupOf('v', source, { parent }))
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(refusals).toBeLessThanOrEqual(0)
    await scene.restic.check()
  })

  it('makes one snapshot although the answer to its commit was lost', async () => {
    let lost = 0
    scene.plane.afterAsk = (name) => {
      if (name === 'commit' && lost++ === 0) {
        throw new Refused('plane-unavailable', 'the connection broke', true)
      }
    }
    const before = scene.plane.receipts.length
    const ran = await run(backupOf('v', source, { parent }))
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(lost).toBe(2)
    expect(scene.plane.receipts.length).toBe(before + 1)
    const tagged = await scene.restic.snapshots('--tag', `job:${ran.done[0]!.job}`)
    expect(tagged).toHaveLength(1)
  })

  it('lists the index again when a prune overtook its commit, and sends the same snapshot', async () => {
    freshFile()
    const commits: string[] = []
    scene.plane.onAsk = (name, body) => {
      if (name !== 'commit') return
      commits.push((body as { bytes: string }).bytes)
      if (commits.length === 1) scene.plane.epoch.value++
    }
    const ran = await run(backupOf('v', source, { parent }))
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(commits).toHaveLength(2)
    expect(commits[1]).toBe(commits[0])
    expect(lastReceipt().epoch).toBe(scene.plane.epoch.value)
  })

  it('stores again what a prune took away under its hands, in the same job', async () => {
    freshFile()
    let removed: string | undefined
    scene.plane.onAsk = (name, body) => {
      if (name !== 'commit' || removed !== undefined) return
      removed = (body as { receipt: Receipt }).receipt.indexes[0]!.id
      rmSync(join(scene.plane.directory, 'index', removed))
      scene.plane.epoch.value++
    }
    const ran = await run(backupOf('v', source, { parent }))
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    // What no index listed any more was sent again, and what is gone is not claimed.
    expect(ran.done[0]?.counts?.bytesStored).toBeGreaterThan(300_000)
    expect(lastReceipt().indexes.map(({ id }) => id)).not.toContain(removed)
    expect(lastReceipt().epoch).toBe(scene.plane.epoch.value)
    await scene.restic.check({ readData: true })
  })

  it('does not read a source again that was let go of and shows another folder', async () => {
    freshFile()
    const aside = `${source}.aside`
    let taken = false
    scene.plane.onAsk = (name, body) => {
      if (name !== 'commit' || taken) return
      taken = true
      rmSync(
        join(scene.plane.directory, 'index', (body as { receipt: Receipt }).receipt.indexes[0]!.id),
      )
      scene.plane.epoch.value++
      renameSync(source, aside)
      mkdirSync(source)
    }
    const ran = await run(backupOf('v', source, { parent }))
    rmSync(source, { recursive: true })
    renameSync(aside, source)
    expect(ran.done).toMatchObject([{ outcome: 'failed', reason: 'commit-refused' }])
  })

  it('checks every waiting snapshot of a batch against the index that a prune left', async () => {
    const other = scene.make('other')
    writeFileSync(join(other, 'file'), seeded.bytes(200_000))
    freshFile()
    let commits = 0
    scene.plane.onAsk = (name, body) => {
      if (name !== 'commit' || ++commits > 1) return
      for (const { id } of (body as { receipt: Receipt }).receipt.indexes) {
        rmSync(join(scene.plane.directory, 'index', id))
      }
      scene.plane.epoch.value++
    }
    const ran = await run(backupOf('v', source, { parent }), backupOf('other', other))
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }, { outcome: 'succeeded' }])
    await scene.restic.check({ readData: true })
  })

  it('stores again what vanished with its index file, and says so when an index file still lists it', async () => {
    freshFile()
    const vanish = (folder: 'packs' | 'indexes') => {
      let done = false
      scene.plane.onAsk = (name, body) => {
        if (name !== 'commit' || done) return
        done = true
        const { receipt } = body as { receipt: Receipt }
        const { directory } = scene.plane
        for (const { id } of receipt.packs) rmSync(join(directory, 'data', id.slice(0, 2), id))
        if (folder === 'packs') return
        for (const { id } of receipt.indexes) rmSync(join(directory, 'index', id))
      }
    }
    vanish('indexes')
    expect((await run(backupOf('v', source, { parent }))).done).toMatchObject([
      { outcome: 'succeeded' },
    ])
    await scene.restic.check({ readData: true })
    freshFile()
    vanish('packs')
    expect((await run(backupOf('v', source, { parent }))).done).toMatchObject([
      { outcome: 'failed', reason: 'repository-damaged' },
    ])
    await scene.restic.run('rebuild-index')
    const ran = await run(backupOf('v', source, { parent }))
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
  })

  it('rebuilds a lost cache from index files and tree packs alone, and stores nothing twice', async () => {
    rmSync(join(scene.host.state, 'cache'), { recursive: true })
    const base = lastReceipt()
    const from = scene.plane.requests.length
    const ran = await run(backupOf('v', source, { parent: base.snapshot }))
    expect(ran.done).toMatchObject([
      { outcome: 'succeeded', counts: { filesNew: 0, filesChanged: 0, bytesStored: 0 } },
    ])
    const requests = scene.plane.requests.slice(from)
    expect(requests.every(({ method }) => method === 'GET')).toBe(true)
    const treePacks = new Set(
      scene.plane.receipts.flatMap(({ packs }) =>
        packs.flatMap((pack) => (pack.type === 'tree' ? [pack.id] : [])),
      ),
    )
    const packs = requests.filter(({ key }) => key.startsWith('data/'))
    expect(packs.length).toBeGreaterThan(0)
    expect(packs.every(({ key }) => treePacks.has(key.slice('data/00/'.length)))).toBe(true)
  })

  it('does not believe its cache when index files are gone from the bucket', async () => {
    const { directory } = scene.plane
    for (const folder of ['index', 'snapshots']) {
      for (const name of readdirSync(join(directory, folder))) rmSync(join(directory, folder, name))
    }
    for (const folder of readdirSync(join(directory, 'data'))) {
      for (const name of readdirSync(join(directory, 'data', folder))) {
        rmSync(join(directory, 'data', folder, name))
      }
    }
    const ran = await run(backupOf('v', source, { parent: lastReceipt().snapshot }))
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(ran.done[0]?.counts?.bytesStored).toBeGreaterThan(20 * 200_000)
    await scene.restic.check()
    expect(await scene.restic.snapshots()).toHaveLength(1)
    parent = lastReceipt().snapshot
  })

  it('says what changed under its hands, with names only in the sealed report', async () => {
    const busy = scene.make('busy')
    const path = join(busy, 'patient-4711')
    writeFileSync(path, seeded.bytes(20_000_000))
    let on = true
    const write = async (): Promise<void> => {
      while (on) {
        writeFileSync(path, seeded.bytes(1_000), { flag: 'r+' })
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
    }
    const writing = write()
    const ran = await run(backupOf('busy', busy))
    on = false
    await writing
    expect(ran.done).toMatchObject([
      { outcome: 'warning', reason: 'files-changed', counts: { changed: 1 } },
    ])
    expect(ran.said).not.toContain('patient')
    expect(ran.said).not.toContain(Buffer.from('patient-4711').toString('base64'))
    const report = JSON.parse(
      await openAge(ran.done[0]!.report!, scene.host.recovery.identity),
    ) as object
    expect(report).toMatchObject({
      v: 1,
      source: 'volume:busy',
      names: [{ what: 'changed', path: Buffer.from('patient-4711').toString('base64') }],
    })
  })

  it('cancels one job of a batch and finishes the other', async () => {
    const big = scene.make('big')
    writeFileSync(join(big, 'file'), seeded.bytes(60_000_000))
    const driving = startMover(scene.host, scene.plane, [
      backupOf('big', big),
      backupOf('v', source, { parent }),
    ])
    scene.plane.onAsk = (name) => {
      if (name === 'grants') driving.cancel(driving.jobs[0]!)
    }
    const ran = await driving.ended
    const ends = Object.fromEntries(ran.done.map(({ job, outcome }) => [job, outcome]))
    expect(ends).toEqual({ [driving.jobs[0]!]: 'cancelled', [driving.jobs[1]!]: 'succeeded' })
    expect(ran.code).toBe(0)
    await scene.restic.check()
  })

  it('ends soon when the only job is cancelled although the store is dead, and takes its lock back', async () => {
    freshFile()
    scene.plane.onRequest = () => true // never answers
    const driving = startMover(scene.host, scene.plane, [backupOf('v', source, { parent })])
    scene.plane.onAsk = (name) => {
      if (name === 'grants') setTimeout(() => driving.cancel(...driving.jobs), 500)
    }
    const ran = await driving.ended
    expect(ran.done).toMatchObject([{ outcome: 'cancelled', reason: 'cancelled-by-person' }])
    expect(ran.milliseconds).toBeLessThan(20_000)
    expect(readdirSync(join(scene.plane.directory, 'locks'))).toEqual([])
  })

  it('starts no upload while the lease is away, and goes on when it is back', async () => {
    freshFile()
    const driving = startMover(scene.host, scene.plane, [backupOf('v', source, { parent })])
    let away = false
    let during = 0
    scene.plane.onAsk = (name) => {
      if (away && (name === 'grants' || name === 'commit')) during++
      if (name !== 'listing' || away) return
      away = true
      driving.lease(false)
      setTimeout(() => {
        away = false
        scene.plane.onAsk = () => {}
        driving.lease(true)
      }, 3_000)
    }
    const ran = await driving.ended
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(ran.released).toHaveLength(1)
    expect(during).toBe(0)
    expect(ran.milliseconds).toBeGreaterThan(3_000)
  })

  it('ends at once when its supervisor is gone', async () => {
    freshFile()
    const driving = startMover(scene.host, scene.plane, [backupOf('v', source, { parent })])
    scene.plane.onAsk = (name) => {
      if (name === 'grants') {
        driving.leave()
        return new Promise((resolve) => setTimeout(resolve, 2_000))
      }
    }
    const ran = await driving.ended
    expect(ran.code).toBe(75)
    expect(ran.done).toEqual([])
  })

  it('says when the password is wrong', async () => {
    const ran = await runMover(scene.host, scene.plane, [backupOf('v', source)], {
      password: 'not it',
    })
    expect(ran.done).toMatchObject([{ outcome: 'failed', reason: 'wrong-password' }])
    expect(ran.done[0]?.message).toBe('none of 2 key files opens with this password')
  })

  it('does not back up without a recovery recipient', async () => {
    const ran = await runMover(scene.host, scene.plane, [backupOf('v', source)], {
      recoveryRecipient: undefined,
    })
    expect(ran.done).toMatchObject([{ outcome: 'failed', reason: 'no-recovery-recipient' }])
  })

  it('names a refused grant as such', async () => {
    freshFile()
    scene.plane.onAsk = (name) => {
      if (name === 'grants') throw new Refused('forbidden', 'the vault is closed')
    }
    const ran = await run(backupOf('v', source, { parent }))
    expect(ran.done).toMatchObject([
      { outcome: 'failed', reason: 'grant-refused', message: 'the vault is closed' },
    ])
  })

  it('survives downloads that break off and refuses damaged objects', async () => {
    let cut = 2
    scene.plane.onRequest = (request, response, key) => {
      if (request.method !== 'GET' || !key.startsWith('data/') || cut-- <= 0) return false
      response.writeHead(206, { 'content-length': '1000000', 'content-range': 'bytes 0-1/2' })
      response.write('x')
      setTimeout(() => response.destroy(), 20)
      return true
    }
    const { snapshot } = lastReceipt()
    const target = scene.make('target')
    const ran = await run(restoreOf(snapshot, 'v', target))
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(cut).toBeLessThanOrEqual(0)
    expect(readdirSync(target).sort()).toEqual(readdirSync(source).sort())
  })

  it('finds flipped bits, and restores all but the files of a damaged pack, which it names', async () => {
    const verified = await run({ parameters: { kind: 'verify', readData: true } })
    expect(verified.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(verified.done[0]?.message).toMatch(
      /^\d+ snapshots, \d+ trees, \d+ packs; \d+ packs read/,
    )
    const { directory } = scene.plane
    const dataPacks = new Set(
      scene.plane.receipts
        .flatMap((r) => r.packs)
        .flatMap((p) => (p.type === 'data' ? [p.id] : [])),
    )
    for (const id of dataPacks) {
      const key = `data/${id.slice(0, 2)}/${id}`
      if (readdirSync(join(directory, 'data', id.slice(0, 2))).includes(id)) damage(directory, key)
    }
    const damaged = await run({ parameters: { kind: 'verify', readData: true } })
    expect(damaged.done).toMatchObject([{ outcome: 'failed', reason: 'repository-damaged' }])
    expect(damaged.done[0]?.message).toMatch(/\d+ errors, \d+ damaged packs: /)
    const target = scene.make('from damage')
    const ran = await run(restoreOf(lastReceipt().snapshot, 'v', target))
    expect(ran.done).toMatchObject([{ outcome: 'failed', reason: 'repository-damaged' }])
    const [done] = ran.done
    const lost = Number(/^(\d+) content-damaged, /.exec(done!.message!)![1])
    expect(lost).toBeGreaterThan(0)
    const { names } = JSON.parse(await openAge(done!.report!, scene.host.recovery.identity))
    expect(names.filter((one: { what: string }) => one.what === 'content-damaged')).toHaveLength(
      Math.min(lost, 50),
    )
    // Files without content in packs, and all directories, are there.
    expect(done!.counts!.files).toBeGreaterThan(0)
    expect(compareTrees(source, target, { ignoreSockets: true }).differences).not.toContainEqual(
      expect.objectContaining({ aspect: 'missing' }),
    )
  })
})
