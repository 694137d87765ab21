// Verifications of the real mover: how much they read, and whose names they tell to whom.
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DataSubset } from '../../shared/backup/data-subset.ts'
import { createSeeded } from '../support/seeded.ts'
import { backupOf, runMover } from './drive.ts'
import { damage } from './fake-plane.ts'
import { openAge, type Scene, setScene } from './scene.ts'

let scene: Scene
let source: string
/** The packs of data of each backup. */
const packs: string[][] = []
const rounds = 3

/** One backup after the other, each with a file and packs of its own. */
beforeAll(async () => {
  scene = await setScene()
  source = scene.make('source')
  const seeded = createSeeded('verify')
  for (let round = 0; round < rounds; round++) {
    writeFileSync(join(source, `photo ${round}`), seeded.bytes(300_000))
    const ran = await runMover(scene.host, scene.plane, [backupOf('photos', source)])
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    const { packs: stored } = scene.plane.receipts[round]!
    packs.push(stored.flatMap(({ id, type }) => (type === 'data' ? [id] : [])))
  }
})
afterAll(() => scene.close())

async function verify(readData: boolean | DataSubset) {
  const ran = await runMover(scene.host, scene.plane, [
    { parameters: { kind: 'verify', readData } },
  ])
  return { ...ran, end: ran.done[0]! }
}

/** How many packs the message says were read. */
const readBy = (message: string | undefined) =>
  Number(/; (\d+) packs read/.exec(message ?? '')?.[1])

describe('a verification', () => {
  it('reads the structure alone, and says how much memory the index takes', async () => {
    const { end, logs } = await verify(false)
    expect(end.outcome, end.message).toBe('succeeded')
    expect(readBy(end.message)).toBe(0)
    expect(end.counts?.indexBytes).toBeGreaterThan(0)
    const line = logs.find(({ message }) => message === 'The index was in memory')
    expect(line?.fields).toEqual({ blobs: expect.any(Number), bytes: end.counts!.indexBytes })
  })

  it('reads the part it is asked for', async () => {
    expect(readBy((await verify({ percent: 50 })).end.message)).toBe(rounds)
  })

  it('reads all packs of one snapshot, which it names', async () => {
    const { snapshot } = scene.plane.receipts[0]!
    const { end } = await verify({ snapshot })
    // A pack of data, and one of trees.
    expect(readBy(end.message)).toBe(2)
    expect(end.message).toContain(`of snapshot ${snapshot.slice(0, 8)}`)
    const gone = await verify({ snapshot: 'ab'.repeat(32) })
    expect(gone.end).toMatchObject({ outcome: 'failed', reason: 'repository-damaged' })
    expect(gone.end.message).toContain('snapshot-missing abababab')
  })

  it('names the files that a broken pack harms in the sealed report, and nowhere else', async () => {
    damage(scene.plane.directory, `data/${packs[1]![0]!.slice(0, 2)}/${packs[1]![0]}`)
    const { end, said, stderr } = await verify(true)
    expect(end).toMatchObject({ outcome: 'failed', reason: 'repository-damaged' })
    // The second photo is in all snapshots but the first.
    expect(end.counts?.harmed).toBe(rounds - 1)
    expect(end.message).toContain(`${rounds - 1} entries of ${rounds - 1} snapshots are harmed`)
    expect(said + stderr).not.toContain('photo')
    const report = JSON.parse(await openAge(end.report!, scene.host.recovery.identity))
    expect(report).toMatchObject({ v: 1, source: 'repository', names: [{ what: 'content-lost' }] })
    const [name] = report.names
    expect(Buffer.from(name.path, 'base64').toString()).toBe('volumes/photos/photo 1')
    const newest = scene.plane.receipts.slice(1).map(({ snapshot }) => snapshot.slice(0, 8))
    expect(name.detail).toBe(`snapshots ${newest.reverse().join(', ')}`)
  })

  it('finds a key file and the config gone, though the host has its own copies', async () => {
    const [key] = (await scene.restic.list('keys')).slice(0, 1)
    const { directory } = scene.plane
    rmSync(join(directory, 'keys', key!))
    rmSync(join(directory, 'config'))
    const { end } = await verify(false)
    expect(end.message).toContain('key-missing')
    expect(end.message).toContain('config-missing')
  })
})
