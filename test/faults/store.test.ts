// A bucket that is busy, refuses, falls silent or goes away, under the whole product.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { useRestic, useRgw } from '../rig/parts.ts'
import { type FaultyStore, startFaultyStore } from '../support/faulty-store.ts'
import { bucketPlace, type Fleet, type FleetHost, startFleet } from '../support/fleet.ts'
import { createSeeded } from '../support/seeded.ts'

const rgw = await useRgw()
const restic = await useRestic()

describe.skipIf(rgw.missing ?? restic.missing)('A bucket', () => {
  let fleet: Fleet
  let host: FleetHost
  let store: FaultyStore
  let bucket: string
  let source: string
  let findings: { check: string; level: string }[] = []

  beforeAll(async () => {
    store = await startFaultyStore(rgw.endpoint)
    bucket = await rgw.makeBucket('faults')
    fleet = await startFleet()
    const { endpoint } = store
    const added = await fleet.addVault('ceph', { ...credentials(), endpoint }, bucket)
    findings = added.findings as typeof findings
    source = join(fleet.folder, 'source')
    mkdirSync(source)
    host = await fleet.host('web-1', { vault: 'ceph', directories: [source] })
    await host.offers(`directory:${source}`)
    refill('calm')
    expect((await host.backup(`directory:${source}`)).outcome).toBe('succeeded')
  })
  afterAll(async () => {
    await fleet?.stop()
    await store?.stop()
    if (bucket !== undefined) await rgw.removeBucket(bucket)
  })

  function credentials() {
    const { endpoint, region, accessKeyId, secretAccessKey } = rgw
    return { endpoint, region, accessKeyId, secretAccessKey }
  }
  function refill(seed: string): void {
    writeFileSync(join(source, 'file'), createSeeded(seed).bytes(3_000_000))
  }
  const isPack = (path: string) => path.includes('/data/')
  /** Backs up new content while packs meet these faults, one after the other. */
  async function backup(
    seed: string,
    ...faults: Exclude<ReturnType<FaultyStore['judge']>, undefined>[]
  ) {
    refill(seed)
    store.judge = (method, path) => (method === 'PUT' && isPack(path) ? faults.shift() : undefined)
    try {
      return await host.backup(`directory:${source}`)
    } finally {
      store.judge = () => undefined
    }
  }

  test('is probed when it is added, and what it does not enforce is written down', async () => {
    const [listed] = (await fleet.list('vault', 'list')).filter(({ name }) => name === 'ceph')
    expect(listed!.findings).toEqual(findings)
    const levels = new Map(findings.map(({ check, level }) => [check, level]))
    expect(levels.size).toBeGreaterThan(8)
    expect([...levels.values()]).not.toContain('danger')
    expect([...levels.values()]).toContain('warning')
    const probed = await fleet.run('vault', 'probe', 'ceph')
    const again = probed.findings as typeof findings
    expect(again.map(({ check, level }) => `${check} ${level}`)).toEqual(
      findings.map(({ check, level }) => `${check} ${level}`),
    )
  })

  test('with wrong keys is not added, and the keys are not repeated', async () => {
    const wrong = { ...credentials(), secretAccessKey: 'not-the-secret-key' }
    await expect(fleet.addVault('wrong', wrong, bucket)).rejects.toThrow(/ended with 1/)
    const names = (await fleet.list('vault', 'list')).map(({ name }) => name)
    expect(names).not.toContain('wrong')
    expect(fleet.log()).not.toContain('not-the-secret-key')
  })

  test('that is busy for a while is waited for', async () => {
    const busy = { status: 503, code: 'SlowDown' }
    const job = await backup('busy', busy, busy, busy)
    expect(job).toMatchObject({ outcome: 'succeeded', attempt: 1 })
    expect(store.struck.filter((line) => line.includes('/data/'))).toHaveLength(3)
  })

  test('that resets connections is asked again', async () => {
    expect(await backup('reset', 'reset', 'reset')).toMatchObject({ outcome: 'succeeded' })
  })

  test('that says a URL lapsed is asked with a new one', async () => {
    const lapsed = { status: 403, code: 'AccessDenied' }
    expect(await backup('lapsed', lapsed)).toMatchObject({ outcome: 'succeeded' })
  })

  test('that refuses for good fails the job with its cause', async () => {
    const refusals = Array.from({ length: 20 }, () => ({ status: 403, code: 'AccessDenied' }))
    const job = await backup('refused', ...refusals)
    expect(job).toMatchObject({ outcome: 'failed', reason: 'store-refused', snapshot: null })
    expect(job.message).toContain('403')
    expect(job.message).not.toContain('X-Amz-Signature')
  })

  test('has whole snapshots only, whatever it did', async () => {
    expect((await backup('after')).outcome).toBe('succeeded')
    await fleet.restic(host, bucketPlace(rgw, bucket, host.repository)).check({ readData: true })
  })
})
