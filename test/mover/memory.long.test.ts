// What a mover takes of the host's memory while it backs up, restores and verifies 200 MB.
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { writeBody } from '../support/tree-body.ts'
import { backupOf, restoreOf, runMover } from './drive.ts'
import { setScene } from './scene.ts'

/** 250 MB, and 64 bytes per blob, of which there are few here. */
const limit = 250e6

it('stays within its share', async () => {
  const scene = await setScene()
  try {
    const { host, plane } = scene
    const source = join(scene.folder, 'source')
    writeBody(source, 200e6, 'memory')
    const peaks: Record<string, number> = {}
    // As on any host but after its first backup ever: without kept compiled code, Node strips types in every thread,
    // at 20 MB each.
    writeBody(join(scene.folder, 'first'), 20e6, 'first')
    await runMover(host, plane, [backupOf('first', join(scene.folder, 'first'))])
    const backup = await runMover(host, plane, [backupOf('v', source)])
    peaks.backup = backup.peakBytes
    const { snapshot } = plane.receipts[1]!
    const restore = await runMover(host, plane, [restoreOf(snapshot, 'v', scene.make('target'))])
    peaks.restore = restore.peakBytes
    const verify = await runMover(host, plane, [{ parameters: { kind: 'verify', readData: true } }])
    peaks.verify = verify.peakBytes
    console.log('peak bytes of the mover', peaks)
    for (const { done } of [backup, restore, verify]) {
      expect(done).toMatchObject([{ outcome: 'succeeded' }])
    }
    for (const peak of Object.values(peaks)) {
      expect(peak).toBeGreaterThan(50e6)
      expect(peak).toBeLessThan(limit)
    }
  } finally {
    await scene.close()
  }
}, 300_000)
