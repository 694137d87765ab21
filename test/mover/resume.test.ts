// kill -9 in the middle of a large backup: the next run sends what is missing and no more.
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { useRestic } from '../rig/parts.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { backupOf, runMover, startMover, uuid } from './drive.ts'
import { type Scene, setScene } from './scene.ts'

const stock = await useRestic()
const MIB = 2 ** 20
const files = 8
const fileBytes = 8 * MIB
/** Packs under way when the mover dies, and the one that is being filled. */
const atRisk = 4 * 17 * MIB

describe.skipIf(stock.missing)('a backup that was killed', () => {
  let scene: Scene
  let source: string
  beforeEach(async () => {
    scene = await setScene()
    source = scene.make('source')
    mkdirSync(join(source, 'deep'))
    for (let i = 0; i < files; i++) writeFileSync(join(source, `deep/${i}`), randomBytes(fileBytes))
  })
  afterEach(() => scene.close())

  const packs = () =>
    readdirSync(join(scene.plane.directory, 'data')).flatMap((folder) =>
      readdirSync(join(scene.plane.directory, 'data', folder))
        .filter((name) => /^[0-9a-f]{64}$/.test(name))
        .map((id) => join(scene.plane.directory, 'data', folder, id)),
    )
  const bytesOf = (paths: readonly string[]) =>
    paths.reduce((sum, path) => sum + statSync(path).size, 0)

  const journalled = () => {
    const folder = join(scene.host.state, 'cache/unlisted')
    const names = existsSync(folder) ? readdirSync(folder) : []
    return bytesOf(names.map((name) => join(folder, name)))
  }

  /** Kill it once that many packs lie in the store. */
  async function killedAt(count: number, id: string): Promise<void> {
    const driving = startMover(scene.host, scene.plane, [backupOf('v', source, { id })])
    const timer = setInterval(() => {
      if (packs().length >= count && journalled() > 0) driving.kill()
    }, 5)
    const ran = await driving.ended
    clearInterval(timer)
    expect(ran.signal).toBe('SIGKILL')
  }

  async function finishedBy(id: string) {
    const from = scene.plane.requests.length
    const ran = await runMover(scene.host, scene.plane, [backupOf('v', source, { id, attempt: 2 })])
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    const puts = scene.plane.requests.slice(from).filter(({ method }) => method === 'PUT')
    const paths = puts.map(({ key }) => join(scene.plane.directory, key))
    return { sent: bytesOf(paths.filter((path) => path.includes('/data/'))), logs: ran.logs }
  }

  async function isSound(): Promise<void> {
    const { restic, plane } = scene
    await restic.run('unlock', '--remove-all')
    await restic.check({ readData: true })
    const target = scene.make('target')
    await restic.restore(plane.receipts.at(-1)!.snapshot, target)
    expect(
      compareTrees(source, join(target, 'volumes/v'), { ignore: ['allocation-grew'] }).differences,
    ).toEqual([])
  }

  it('is gone on with: what lies in the store is found again and not sent twice', async () => {
    const id = uuid()
    await killedAt(2, id)
    const { sent, logs } = await finishedBy(id)
    const found = logs.find((line) => line.message.includes('were found again'))
    const known = Number(found?.fields.bytes)
    expect(known).toBeGreaterThan(0)
    // The new packs hold what is missing, and some kilobytes of trees and headers.
    expect(sent).toBeLessThan(files * fileBytes - known + MIB)
    expect(scene.plane.receipts.at(-1)!.packs.length).toBe(
      new Set(scene.plane.receipts.at(-1)!.packs.map((pack) => pack.id)).size,
    )
    await isSound()
  }, 120_000)

  it('may be killed again and again, and still sends each byte about once', async () => {
    const id = uuid()
    for (const count of [1, 2, 3]) await killedAt(count, id)
    await finishedBy(id)
    // Each kill loses no more than what was under way.
    expect(bytesOf(packs())).toBeLessThan(files * fileBytes + 3 * atRisk)
    await isSound()
  }, 180_000)

  it("lists no pack that somebody's prune has removed meanwhile: it is sent again", async () => {
    const id = uuid()
    await killedAt(2, id)
    await scene.restic.run('unlock', '--remove-all')
    await scene.restic.run('prune')
    expect(packs()).toEqual([])
    const { sent } = await finishedBy(id)
    expect(sent).toBeGreaterThan(files * fileBytes)
    await isSound()
  }, 120_000)
})
