// Uploads and downloads through a company's proxy, and what becomes of them when its tunnels break.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CertificateAuthority, createCertificateAuthority } from '../rig/certificates.ts'
import { type ConnectProxy, startConnectProxy } from '../rig/connect-proxy.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { createSeeded } from '../support/seeded.ts'
import { backupOf, restoreOf, runMover } from './drive.ts'
import { type Scene, setScene } from './scene.ts'

/** A name that no DNS knows: whoever reaches it came through the proxy. */
const NAME = 'store.holdfast.invalid'

describe('through a CONNECT proxy that wants a password, to a store with a private authority', () => {
  const seeded = createSeeded('mover proxy')
  let authority: CertificateAuthority
  let scene: Scene
  let proxy: ConnectProxy
  let source: string
  let caFile: string

  beforeAll(async () => {
    authority = createCertificateAuthority()
    scene = await setScene({ tls: { certificate: authority.issue({ names: [NAME] }), name: NAME } })
    const { port } = scene.plane
    proxy = await startConnectProxy({
      username: 'user',
      password: 'CANARY-word @/:',
      hosts: { [`${NAME}:${port}`]: `127.0.0.1:${port}` },
    })
    caFile = join(scene.folder, 'ca.pem')
    writeFileSync(caFile, authority.cert)
    source = scene.make('source')
    for (let i = 0; i < 40; i++) writeFileSync(join(source, `file ${i}`), seeded.bytes(1_000_000))
  })
  afterAll(async () => {
    await proxy?.stop()
    await scene?.close()
  })

  const network = () => ({ proxy: proxy.url, noProxy: 'other.example', caFile })

  it('backs up and restores, and keeps its tunnels for the next pack', async () => {
    const ran = await runMover(scene.host, scene.plane, [backupOf('v', source)], {
      network: network(),
    })
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    const puts = scene.plane.requests.filter(({ method }) => method === 'PUT').length
    expect(puts).toBeGreaterThan(3)
    expect(proxy.requests.length).toBeLessThan(puts)
    expect(proxy.requests.every(({ authorised }) => authorised)).toBe(true)

    const target = scene.make('target')
    const { snapshot } = scene.plane.receipts[0]!
    const back = await runMover(scene.host, scene.plane, [restoreOf(snapshot, 'v', target)], {
      network: network(),
    })
    expect(back.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(compareTrees(source, target).differences).toEqual([])
  })

  it('survives tunnels that break in the middle of packs', async () => {
    for (let i = 0; i < 40; i++) writeFileSync(join(source, `more ${i}`), seeded.bytes(1_000_000))
    let cuts = 0
    scene.plane.onRequest = (request) => {
      if (request.method === 'PUT' && cuts < 3) {
        cuts++
        setTimeout(() => proxy.tunnels.cut(), 5)
      }
      return false
    }
    const ran = await runMover(scene.host, scene.plane, [backupOf('v', source)], {
      network: network(),
    })
    scene.plane.onRequest = () => false
    expect(cuts).toBe(3)
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    const verified = await runMover(
      scene.host,
      scene.plane,
      [{ parameters: { kind: 'verify', readData: true } }],
      { network: network() },
    )
    expect(verified.done).toMatchObject([{ outcome: 'succeeded' }])
  })

  it('says nothing of the proxy’s password, whatever goes wrong', async () => {
    proxy.refuseWith(403)
    const folder = join(scene.folder, 'small')
    mkdirSync(folder)
    writeFileSync(join(folder, 'file'), seeded.bytes(1_000))
    const ran = await runMover(scene.host, scene.plane, [backupOf('w', folder)], {
      network: network(),
    })
    proxy.refuseWith(undefined)
    expect(ran.done).toMatchObject([{ outcome: 'failed', reason: 'store-refused' }])
    expect(ran.done[0]?.message).toMatch(/^PUT https:\/\/store\.holdfast\.invalid:\d+\/[^?]*: 403$/)
    for (const text of [ran.said, ran.stderr]) {
      expect(text).not.toContain('CANARY')
      expect(text).not.toContain(encodeURIComponent('CANARY-word @/:'))
    }
    expect(readdirSync(join(scene.plane.directory, 'locks'))).toEqual([])
  })
})
