// Repositories that stock restic made become those of hosts, where they lie, and go on as if they had always been.
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { useRestic } from '../rig/parts.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { type AdoptScene, setAdoptScene } from './adopt-scene.ts'

const restic = await useRestic()

describe.skipIf(restic.missing)('an existing restic repository', () => {
  let scene: AdoptScene
  beforeAll(async () => {
    scene = await setAdoptScene()
  }, 120_000)
  afterAll(() => scene?.stop())

  it('is taken over without copying, browsed, restored, and written on', async () => {
    const judge = await scene.made('old/restic')
    const second = await judge.backup(
      [scene.tree('one'), scene.tree('two')],
      '--host',
      'other-server',
    )
    const before = (await judge.list('packs')).length
    const web = await scene.host('web-1')

    const { job } = await scene.adopt(web, 'old/restic')
    expect(job).toMatchObject({ kind: 'init', outcome: 'succeeded' })
    expect(job.message).toContain('2 snapshots')
    expect(await judge.list('keys')).toHaveLength(3)
    expect(await judge.list('packs')).toHaveLength(before)

    const there = await scene.snapshots('web-1')
    expect(there.map((one) => one.source).sort()).toEqual([
      `directory:${scene.fleet.folder}`,
      `directory:${scene.tree('one')}`,
    ])
    const first = there.find((one) => one.id !== second)!
    const target = await scene.restored(first.id as string, 'restored-first')
    expect(compareTrees(scene.tree('one'), target).differences).toEqual([])
    const listed = await scene.fleet.list('ls', first.id as string)
    expect(listed.length).toBeGreaterThan(5)
    const both = await scene.restored(second, 'restored-second')
    expect(compareTrees(scene.tree('two'), join(both, 'two')).differences).toEqual([])

    // Its chunks are cut where ours are: nothing of the old content is stored again.
    const backup = await web.backup(`directory:${scene.tree('one')}`)
    expect(backup).toMatchObject({ outcome: 'succeeded' })
    expect(backup.counts!.bytesStored).toBeLessThan(200_000)
    await judge.check()
    expect(await judge.snapshots()).toHaveLength(3)
    const verified = await scene.fleet.job('verify', '--host', 'web-1', '--read-data')
    expect(verified).toMatchObject({ outcome: 'succeeded' })
    await web.stop()
  }, 180_000)
})
