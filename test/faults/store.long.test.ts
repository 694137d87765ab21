// A store that goes away for good, with all the patience that the product has.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { useRgw } from '../rig/parts.ts'
import { startFaultyStore } from '../support/faulty-store.ts'
import { startFleet } from '../support/fleet.ts'
import { createSeeded } from '../support/seeded.ts'

const rgw = await useRgw()

describe.skipIf(rgw.missing)('A bucket', () => {
  test('that stays busy is asked for ten minutes, less and less often, and then the job fails with the cause', async () => {
    const store = await startFaultyStore(rgw.endpoint)
    const bucket = await rgw.makeBucket('gone')
    const fleet = await startFleet()
    try {
      const { region, accessKeyId, secretAccessKey } = rgw
      const { endpoint } = store
      await fleet.addVault('ceph', { endpoint, region, accessKeyId, secretAccessKey }, bucket)
      const source = join(fleet.folder, 'source')
      mkdirSync(source)
      writeFileSync(join(source, 'file'), createSeeded('gone').bytes(1_000_000))
      const host = await fleet.host('web-1', { vault: 'ceph', directories: [source] })
      await host.offers(`directory:${source}`)
      const moments: number[] = []
      store.judge = (method, path) => {
        if (method !== 'PUT' || !path.includes('/data/')) return undefined
        moments.push(performance.now())
        return { status: 503, code: 'SlowDown' }
      }
      const job = await host.backup(`directory:${source}`)
      expect(job).toMatchObject({ outcome: 'failed', reason: 'store-unavailable', snapshot: null })
      expect(job.message).toContain('503')
      const pauses = moments.slice(1).map((moment, i) => moment - moments[i]!)
      expect(moments.at(-1)! - moments[0]!).toBeGreaterThan(9 * 60_000)
      expect(Math.max(...pauses.slice(-3))).toBeGreaterThan(10_000)
      expect(moments.length).toBeLessThan(120)
      store.judge = () => undefined
      expect((await host.backup(`directory:${source}`)).outcome).toBe('succeeded')
    } finally {
      await fleet.stop()
      await store.stop()
      await rgw.removeBucket(bucket)
    }
  }, 1_200_000)
})
