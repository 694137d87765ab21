// A host behind a company's proxy, with a control plane that only a private authority vouches for.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createCertificateAuthority } from '../rig/certificates.ts'
import { type ConnectProxy, startConnectProxy } from '../rig/connect-proxy.ts'
import { useRgw } from '../rig/parts.ts'
import { freePorts } from '../rig/ports.ts'
import { agentCommand } from '../support/agent-process.ts'
import { type Fleet, startFleet } from '../support/fleet.ts'
import { createSeeded } from '../support/seeded.ts'

const rgw = await useRgw()

/** Names that no DNS knows: whoever reaches them came through the proxy. */
const PLANE = 'plane.holdfast.test'

describe('A host behind a proxy', () => {
  const authority = createCertificateAuthority()
  let fleet: Fleet
  let proxy: ConnectProxy
  let folder: string
  let planeAddress = ''
  let environment: Record<string, string>

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-proxy-'))
    const file = (name: string, text: string) => {
      writeFileSync(join(folder, name), text)
      return join(folder, name)
    }
    const [port] = await freePorts(1)
    planeAddress = `${PLANE}:${port}`
    const { cert, key } = authority.issue({ names: [PLANE, '127.0.0.1'] })
    proxy = await startConnectProxy({
      username: 'host one',
      password: 'p:w@d/?',
      certificate: authority.issue(),
      hosts: { [planeAddress]: `127.0.0.1:${port}` },
    })
    const caFile = file('authority.pem', authority.cert)
    environment = { HOLDFAST_CA_FILE: caFile, HTTPS_PROXY: proxy.url }
    fleet = await startFleet({
      port: port!,
      publicUrl: `https://${planeAddress}`,
      environment: {
        HOLDFAST_TLS_CERT_FILE: file('cert.pem', cert),
        HOLDFAST_TLS_KEY_FILE: file('key.pem', key),
      },
      client: { HOLDFAST_CA_FILE: caFile },
    })
  })
  afterAll(async () => {
    await fleet?.stop()
    await proxy?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  function makeSource(name: string, bytes: number): string {
    const source = join(fleet.folder, name)
    mkdirSync(source)
    writeFileSync(join(source, 'file'), createSeeded(name).bytes(bytes))
    return source
  }

  test('enrols, talks and uploads through it, and through nothing else', async () => {
    const source = makeSource('source', 3_000_000)
    const host = await fleet.host('behind', { environment, directories: [source] })
    await host.offers(`directory:${source}`)
    const before = proxy.tunnels.sent
    const job = await host.backup(`directory:${source}`)
    expect(job).toMatchObject({ outcome: 'succeeded' })
    // The bytes themselves, encrypted, went through the tunnels.
    expect(proxy.tunnels.sent - before).toBeGreaterThan(3_000_000)
    expect(new Set(proxy.requests.map(({ target }) => target))).toEqual(new Set([planeAddress]))
    expect(proxy.requests.every(({ status }) => status === 200)).toBe(true)
    expect(host.agent.output()).toContain('"way":"socket"')
    expect(host.agent.output()).not.toContain('p:w@d')
    const target = join(fleet.folder, 'restored')
    expect((await fleet.job('restore', job.snapshot!, '--to-directory', target)).outcome).toBe(
      'succeeded',
    )
    await host.stop()
  })

  test('says so when the proxy does not know it, and does not go around it', async () => {
    const { token } = await fleet.run('enroll-token')
    const words = ['enroll', '--url', `https://${planeAddress}`, '--name', 'stranger']
    const asked = proxy.requests.length
    const ended = await agentCommand(
      [...words, '--state', join(fleet.folder, 'stranger'), '--recovery', fleet.recovery.recipient],
      { input: `${token}\n`, env: { ...environment, HTTPS_PROXY: proxy.bareUrl } },
    )
    expect(ended.code).toBe(1)
    expect(ended.stderr).toMatch(/407|proxy/i)
    expect(proxy.requests.slice(asked).every(({ authorised }) => !authorised)).toBe(true)
  })

  test('says so when it does not trust the authority', async () => {
    const { token } = await fleet.run('enroll-token')
    const words = ['enroll', '--url', `https://127.0.0.1:${fleet.port}`, '--name', 'doubter']
    const ended = await agentCommand(
      [...words, '--state', join(fleet.folder, 'doubter'), '--recovery', fleet.recovery.recipient],
      { input: `${token}\n` },
    )
    expect(ended.code).toBe(1)
    expect(ended.stderr).toContain('could not be reached: UNABLE_TO_VERIFY_LEAF_SIGNATURE')
    expect(ended.stderr).toContain('name its authority in HOLDFAST_CA_FILE')
  })

  test.skipIf(rgw.missing)(
    'goes around it where NO_PROXY says so: here to the bucket, not to the plane',
    async () => {
      const bucket = await rgw.makeBucket('proxy')
      try {
        await fleet.addVault('ceph', rgw, bucket)
        const source = makeSource('to-bucket', 3_000_000)
        const asked = proxy.requests.length
        const host = await fleet.host('partly', {
          vault: 'ceph',
          environment: { ...environment, NO_PROXY: '10.0.0.0/8,127.0.0.0/8' },
          directories: [source],
        })
        await host.offers(`directory:${source}`)
        const before = proxy.tunnels.sent
        expect((await host.backup(`directory:${source}`)).outcome).toBe('succeeded')
        expect(proxy.tunnels.sent - before).toBeLessThan(1_000_000)
        const targets = proxy.requests.slice(asked).map(({ target }) => target)
        expect(new Set(targets)).toEqual(new Set([planeAddress]))
        await host.stop()
      } finally {
        await rgw.removeBucket(bucket)
      }
    },
  )
})
