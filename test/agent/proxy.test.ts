import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type CertificateAuthority, createCertificateAuthority } from '../rig/certificates.ts'
import { type ConnectProxy, startConnectProxy } from '../rig/connect-proxy.ts'
import {
  agentCommand,
  enrolHost,
  eventually,
  makeStateDirectory,
  type RunningAgent,
  removeState,
  startAgent,
} from '../support/agent-process.ts'
import { ScriptedPlane } from '../support/scripted-plane.ts'
import { backupJob, runOf } from '../support/scripted-run.ts'

/** A name that no DNS knows: whoever reaches it came through the proxy. */
const NAME = 'plane.holdfast.invalid'

describe('through a CONNECT proxy that wants a password, to a control plane with a private authority', () => {
  let authority: CertificateAuthority
  let plane: ScriptedPlane
  let proxy: ConnectProxy
  let folder: string
  let caFile: string
  let state: string | undefined
  let agent: RunningAgent | undefined

  beforeAll(async () => {
    authority = createCertificateAuthority()
    folder = mkdtempSync(join(tmpdir(), 'holdfast-proxy-'))
    caFile = join(folder, 'ca.pem')
    writeFileSync(caFile, authority.cert)
  })
  afterAll(() => rmSync(folder, { recursive: true }))
  afterEach(async () => {
    await agent?.kill()
    await plane.stop()
    await proxy.stop()
    if (state !== undefined) removeState(state)
    agent = undefined
    state = undefined
  })

  async function begin(proxyTls: boolean): Promise<Record<string, string>> {
    plane = await ScriptedPlane.start({ tls: authority.issue({ names: [NAME] }), name: NAME })
    proxy = await startConnectProxy({
      username: 'user',
      password: 'CANARY-word @/:',
      hosts: { [`${NAME}:${plane.port}`]: `127.0.0.1:${plane.port}` },
      ...(proxyTls ? { certificate: authority.issue() } : {}),
    })
    return { HTTPS_PROXY: proxy.url, HOLDFAST_CA_FILE: caFile, NO_PROXY: 'other.example' }
  }

  it.each([
    ['plain', false],
    ['TLS', true],
  ])('spoken to in %s: enrols, connects, calls, and carries out a batch', async (_, tls) => {
    const env = await begin(tls)
    state = await enrolHost(plane, { env })
    writeFileSync(join(state, 'repository.password'), 'p\n')
    agent = startAgent(state, { env })
    await eventually('it is welcomed', () => plane.welcomes.length > 0)
    expect(plane.welcomes[0]?.way).toBe('socket')
    const backup = backupJob(folder)
    plane.send(runOf(plane.repository, [backup]))
    await eventually('the job ended', () => plane.finishes.length > 0)
    expect(plane.finishes[0]).toMatchObject({ outcome: 'succeeded' })
    expect(proxy.requests.length).toBeGreaterThanOrEqual(3)
    expect(proxy.requests.every(({ target }) => target === `${NAME}:${plane.port}`)).toBe(true)
    expect(agent.output()).not.toContain('CANARY')
  })

  it('keeps its line through a proxy that cuts it, and falls back to polling where upgrades are refused', async () => {
    const env = await begin(false)
    state = await enrolHost(plane, { env })
    agent = startAgent(state, { env })
    await eventually('it is welcomed', () => plane.welcomes.length > 0)
    plane.refuseUpgrades = 426
    proxy.tunnels.cut()
    await eventually('it polls', () => plane.welcomes.some(({ way }) => way === 'poll'), 30)
  })

  it('says so when the proxy refuses, without its password', async () => {
    const env = await begin(false)
    const wrong = new URL(proxy.url)
    wrong.password = 'CANARY-wrong'
    state = makeStateDirectory()
    const words = ['enroll', '--url', plane.origin, '--name', 'web-1', '--state', state]
    const ended = await agentCommand(words, {
      input: plane.token,
      env: { ...env, HTTPS_PROXY: wrong.href },
    })
    expect(ended.code).toBe(1)
    expect(ended.stderr).toContain('plane-unavailable')
    expect(ended.stderr).toMatch(/407/)
    expect(ended.stderr).not.toContain('CANARY')
  })

  it('does not talk to a control plane whose authority it was not told of', async () => {
    const env = await begin(false)
    state = makeStateDirectory()
    const words = ['enroll', '--url', plane.origin, '--name', 'web-1', '--state', state]
    const { HTTPS_PROXY } = env
    const ended = await agentCommand(words, { input: plane.token, env: { HTTPS_PROXY } })
    expect(ended.code).toBe(1)
    expect(ended.stderr).toContain('UNABLE_TO_VERIFY_LEAF_SIGNATURE')
    expect(plane.calls).toEqual([])
  })

  it('goes straight to what NO_PROXY names', async () => {
    const env = await begin(false)
    state = makeStateDirectory()
    const origin = `https://127.0.0.1:${plane.port}`
    const words = ['enroll', '--url', origin, '--name', 'web-1', '--state', state]
    const direct = { ...env, NO_PROXY: '127.0.0.0/8' }
    const ended = await agentCommand(words, { input: plane.token, env: direct })
    // The certificate is made out to the name: getting that far means the server was reached.
    expect(ended.stderr).toContain('ERR_TLS_CERT_ALTNAME_INVALID')
    expect(proxy.requests).toEqual([])
  })
})
