// One prune from end to end beside stock restic; more, with deaths and disturbances: prune.long.test.ts.
import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { useRestic } from '../rig/parts.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { createSeeded } from '../support/seeded.ts'
import { backupOf, pruneOf, runMover } from './drive.ts'
import { type Scene, setScene } from './scene.ts'

const stock = await useRestic()
const seeded = createSeeded('mover prune, short')

describe.skipIf(stock.missing)('a prune by the mover, in short', () => {
  let scene: Scene
  let source: string
  let last: string

  beforeAll(async () => {
    scene = await setScene()
    source = scene.make('source')
    for (let i = 0; i < 8; i++) writeFileSync(join(source, `file ${i}`), seeded.bytes(200_000))
    await runMover(scene.host, scene.plane, [backupOf('v', source)])
    const [first] = scene.plane.receipts
    for (let i = 0; i < 5; i++) writeFileSync(join(source, `file ${i}`), seeded.bytes(200_000))
    await runMover(scene.host, scene.plane, [backupOf('v', source, { parent: first!.snapshot })])
    last = scene.plane.receipts[1]!.snapshot
    rmSync(join(scene.plane.directory, 'snapshots', first!.snapshot))
  })
  afterAll(() => scene?.close())

  const judge = async (target: string) => {
    await scene.restic.check()
    const path = scene.make(target)
    await scene.restic.restore(last, path)
    const ignore = ['allocation-grew'] as const
    expect(
      compareTrees(source, join(path, 'volumes/v'), { ignore: [...ignore] }).differences,
    ).toEqual([])
  }

  it('writes anew what is half needed, and a second one confirms what may be deleted', async () => {
    const ran = await runMover(scene.host, scene.plane, [pruneOf()])
    expect(ran.done).toMatchObject([
      { outcome: 'succeeded', reason: 'completed', counts: { packsCondemned: 2 } },
    ])
    const [retirement] = scene.plane.retirements
    expect(retirement?.condemned.map(({ heirs }) => heirs.length).sort()).toEqual([0, 1])
    expect(retirement?.walked).toEqual([last])
    expect(readdirSync(join(scene.plane.directory, 'locks'))).toEqual([])
    await judge('after the first')
    await runMover(scene.host, scene.plane, [pruneOf()])
    expect(scene.plane.deleteConfirmed()).toBe(2)
    await judge('after both')
  })
})
