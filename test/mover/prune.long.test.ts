// Prunes of the mover beside stock restic: what they free, and that nothing anybody needs is ever given up.
import { copyFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { useRestic } from '../rig/parts.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { createSeeded } from '../support/seeded.ts'
import { backupOf, pruneOf, runMover, startMover, uuid } from './drive.ts'
import { type Scene, setScene } from './scene.ts'

const stock = await useRestic()
const seeded = createSeeded('mover prune')

describe.skipIf(stock.missing)('a prune by the mover', () => {
  let scene: Scene
  let source: string
  let parent: string | undefined

  beforeEach(async () => {
    scene = await setScene()
    source = scene.make('source')
    parent = undefined
    for (let i = 0; i < 10; i++) write(i)
    await backup()
  })
  afterEach(() => scene?.close())

  const write = (i: number, bytes = 300_000) =>
    writeFileSync(join(source, `file ${i}`), seeded.bytes(bytes))

  async function backup(): Promise<string> {
    const base = parent === undefined ? {} : { parent }
    const ran = await runMover(scene.host, scene.plane, [backupOf('v', source, base)])
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    parent = scene.plane.receipts.at(-1)!.snapshot
    return parent
  }
  const prune = (limits = {}) => runMover(scene.host, scene.plane, [pruneOf(limits)])
  const names = (folder: string) => readdirSync(join(scene.plane.directory, folder))
  const packs = () => names('data').flatMap((folder) => names(`data/${folder}`))
  const forget = (id: string) => rmSync(join(scene.plane.directory, 'snapshots', id))

  /** Sound by stock restic, and the newest snapshot comes back as the source is. */
  async function judge(): Promise<void> {
    await scene.restic.check()
    const target = scene.make(`target ${uuid()}`)
    await scene.restic.restore(parent!, target)
    const { differences } = compareTrees(source, join(target, 'volumes/v'), {
      ignore: ['allocation-grew'],
    })
    expect(differences).toEqual([])
  }

  it('gives up what nothing needs, and what it gave up is deleted once a second prune says so too', async () => {
    const first = parent!
    for (let i = 0; i < 8; i++) write(i)
    await backup()
    forget(first)
    const before = packs()
    const ran = await prune()
    expect(ran.done).toMatchObject([
      { outcome: 'succeeded', reason: 'completed', counts: { packsCondemned: 2 } },
    ])
    expect(ran.done[0]?.message).toMatch(/^\d+ packs \(\d+\.\d MiB\), of which /)
    expect(scene.plane.epoch.value).toBe(1)
    expect(names('locks')).toEqual([])
    // Everything is still there, and more.
    expect(packs()).toEqual(expect.arrayContaining(before))
    await judge()
    expect(scene.plane.deleteConfirmed()).toBe(0)

    const again = await prune()
    expect(again.done).toMatchObject([{ outcome: 'succeeded', counts: { packsCondemned: 0 } }])
    expect(scene.plane.retirements[1]).toMatchObject({ condemned: [], replacedIndexes: [] })
    expect(scene.plane.deleteConfirmed()).toBe(2)
    await judge()
    expect((await prune()).done).toMatchObject([{ outcome: 'succeeded' }])
    // Nothing was left to say.
    expect(scene.plane.retirements).toHaveLength(2)
    write(3)
    await backup()
    await judge()
  })

  it('names heirs, so that unchanged files of later backups are accounted for', async () => {
    const first = parent!
    for (let i = 0; i < 5; i++) write(i)
    await backup()
    forget(first)
    await prune()
    const [retirement] = scene.plane.retirements
    const data = retirement!.condemned.find(({ heirs }) => heirs.length > 0)!
    expect(data.heirs.length).toBeGreaterThan(0)
    write(9)
    await backup()
    const second = scene.plane.receipts[1]!.snapshot
    forget(second)
    // A plane that thought the old packs were needed would refuse, and one that forgot the heirs would not mind.
    const ran = await prune()
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    scene.plane.deleteConfirmed()
    await judge()
  })

  it('merges what many small backups left, index files too', async () => {
    for (let i = 0; i < 14; i++) {
      write(i % 3, 50_000)
      await backup()
    }
    expect(names('index').length).toBe(15)
    const ran = await prune()
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(names('index').length).toBe(1)
    await prune()
    scene.plane.deleteConfirmed()
    expect(packs().length).toBeLessThan(8)
    await judge()
    expect(await scene.restic.snapshots()).toHaveLength(15)
  })

  it('waits for a person where the control plane says so, and leaves everything as it is', async () => {
    const first = parent!
    for (let i = 0; i < 8; i++) write(i)
    await backup()
    forget(first)
    const before = [packs(), names('index')]
    let proposed: unknown
    scene.plane.decide = (proposal) => {
      proposed = proposal
      return 'wait'
    }
    const ran = await prune()
    expect(ran.done).toMatchObject([{ outcome: 'warning', reason: 'needs-approval' }])
    expect(proposed).toMatchObject({ packs: 2 })
    expect([packs(), names('index')]).toEqual(before)
    expect(names('locks')).toEqual([])
  })

  it('tells of snapshots that a person made with stock restic, and keeps what they need', async () => {
    const theirs = await scene.restic.backup([source], '--tag', 'by hand')
    const ran = await prune()
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(scene.plane.reconciled).toMatchObject([
      { id: theirs, paths: [source], tags: ['by hand'] },
    ])
    await judge()
    await scene.restic.restore(theirs, scene.make('theirs'))
    expect((await prune()).done).toMatchObject([{ outcome: 'succeeded' }])
    expect(scene.plane.reconciled).toHaveLength(1)
  })

  it('lists given-up packs again when a snapshot that needs them comes back', async () => {
    const first = parent!
    const kept = join(scene.folder, 'kept')
    copyFileSync(join(scene.plane.directory, 'snapshots', first), kept)
    for (let i = 0; i < 10; i++) write(i)
    await backup()
    forget(first)
    await prune()
    expect(scene.plane.condemned.size).toBeGreaterThan(0)
    // Somebody's copy of the bucket, or a backup whose lock was taken for stale.
    copyFileSync(kept, join(scene.plane.directory, 'snapshots', first))
    await expect(scene.restic.check()).rejects.toThrow()
    const ran = await prune()
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(scene.plane.deleteConfirmed()).toBe(0)
    await judge()
    await scene.restic.restore(first, scene.make('first'))
  })

  it('gives up nothing when somebody wrote although it held the repository alone', async () => {
    const first = parent!
    const kept = join(scene.folder, 'kept')
    copyFileSync(join(scene.plane.directory, 'snapshots', first), kept)
    for (let i = 0; i < 8; i++) write(i)
    await backup()
    forget(first)
    scene.plane.decide = () => {
      copyFileSync(kept, join(scene.plane.directory, 'snapshots', first))
      return 'go'
    }
    const ran = await prune()
    expect(ran.done).toMatchObject([{ outcome: 'failed', reason: 'repository-locked' }])
    expect(scene.plane.retirements).toEqual([])
    await judge()
    await scene.restic.restore(first, scene.make('first'))
  })

  it('keeps stock restic out while it works, and waits for one that came first', async () => {
    const first = parent!
    for (let i = 0; i < 8; i++) write(i)
    await backup()
    forget(first)
    const refusedBoth: string[] = []
    let looked: Promise<void> | undefined
    scene.plane.onAsk = (name) => {
      if (name !== 'proposal') return
      looked ??= (async () => {
        for (const words of [['backup', source], ['prune'], ['forget', first, '--prune']]) {
          const ended = await scene.restic.attempt(...words)
          if (ended.exitCode !== 0) refusedBoth.push(ended.stderr)
        }
      })()
      return looked
    }
    const ran = await prune()
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(refusedBoth).toHaveLength(3)
    for (const complaint of refusedBoth) expect(complaint).toContain('already locked')
    await judge()

    // A backup of ours holds its lock until its commit is through.
    scene.plane.onAsk = () => {}
    write(1)
    const driving = startMover(scene.host, scene.plane, [backupOf('w', source)])
    let pruning: ReturnType<typeof prune> | undefined
    scene.plane.onAsk = (name) => {
      if (name !== 'listing' || pruning !== undefined) return
      pruning = prune()
      return new Promise((resolve) => setTimeout(resolve, 1_500))
    }
    const backedUp = await driving.ended
    expect(backedUp.done).toMatchObject([{ outcome: 'succeeded' }])
    const pruned = await pruning!
    expect(pruned.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(pruned.logs.map(({ message }) => message)).toContain(
      'Another program uses the repository; waiting',
    )
    expect(names('locks')).toEqual([])
  })

  it('goes on after a stock prune, which takes given-up packs at once', async () => {
    const first = parent!
    for (let i = 0; i < 8; i++) write(i)
    await backup()
    forget(first)
    await prune()
    const given = [...scene.plane.condemned.keys()]
    await scene.restic.run('prune')
    for (const id of given) expect(packs()).not.toContain(id)
    await judge()
    expect((await prune()).done).toMatchObject([{ outcome: 'succeeded' }])
    write(2)
    await backup()
    await judge()
  })

  it('is killed at every question it asks, and the next one finishes the work', async () => {
    const first = parent!
    for (let i = 0; i < 5; i++) write(i)
    await backup()
    forget(first)
    const points = ['lock', 'listing', 'proposal', 'grants', 'retire'] as const
    for (const point of points) {
      for (const after of [false, true]) {
        const driving = startMover(scene.host, scene.plane, [pruneOf()])
        const die = (name: string) => {
          if (name !== point) return
          driving.kill()
          return new Promise<void>((resolve) => setTimeout(resolve, 50))
        }
        scene.plane.onAsk = after ? () => {} : die
        scene.plane.afterAsk = after ? die : () => {}
        await driving.ended
        // What was under way when it died still takes effect.
        await new Promise((resolve) => setTimeout(resolve, 150))
        scene.plane.onAsk = () => {}
        scene.plane.afterAsk = () => {}
        // The plane takes the locks of the dead 30 min after their leases.
        for (const lock of names('locks')) rmSync(join(scene.plane.directory, 'locks', lock))
        await scene.restic.check()
      }
    }
    expect((await prune()).done).toMatchObject([{ outcome: 'succeeded' }])
    expect((await prune()).done).toMatchObject([{ outcome: 'succeeded' }])
    scene.plane.deleteConfirmed()
    await judge()
  })
})
