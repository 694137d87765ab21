// The control plane as a process: first start, serving, stopping, and what it prints where.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { projectRoot } from '../rig/machine.ts'

const data = mkdtempSync(join(tmpdir(), 'holdfast-process-'))
const children = new Set<ChildProcess>()
afterAll(() => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(data, { recursive: true, force: true })
})

interface Program {
  readonly child: ChildProcess
  readonly said: { stdout: string; stderr: string }
  readonly ended: Promise<number | null>
}

function start(args: readonly string[], environment: Record<string, string>): Program {
  const main = join(projectRoot, 'control-plane/node/main.ts')
  const child = spawn(process.execPath, [main, ...args], {
    env: { PATH: process.env.PATH ?? '', HOLDFAST_DATA: data, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.add(child)
  const said = { stdout: '', stderr: '' }
  child.stdout.on('data', (text: Buffer) => (said.stdout += text.toString()))
  child.stderr.on('data', (text: Buffer) => (said.stderr += text.toString()))
  const ended = once(child, 'close').then(([code]) => {
    children.delete(child)
    return code as number | null
  })
  return { child, said, ended }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function answers(url: string): Promise<void> {
  for (let i = 0; i < 200; i++) {
    const ready = await fetch(`${url}/health/ready`).catch(() => undefined)
    if (ready?.ok) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('it never answered')
}

describe('the process', () => {
  it('makes vault and token once, serves, keeps the token out of its log, and stops when told', async () => {
    const port = await freePort()
    const environment = { HOLDFAST_LISTEN: `127.0.0.1:${port}` }
    const first = start(['init'], environment)
    expect(await first.ended).toBe(0)
    const { url, token } = JSON.parse(first.said.stdout) as { url: string; token: string }
    expect(first.said.stdout.trim().split('\n')).toHaveLength(1)
    expect(url).toBe(`http://127.0.0.1:${port}`)
    expect(first.said.stderr).not.toContain(token)
    expect(statSync(join(data, 'master.key')).mode & 0o777).toBe(0o600)

    const second = start(['init'], environment)
    expect(await second.ended).toBe(0)
    expect(JSON.parse(second.said.stdout)).toEqual({ url })

    const serving = start([], environment)
    await answers(url)
    const ask = (path: string, secret: string) =>
      fetch(`${url}/api/v1/${path}`, { headers: { authorization: `Bearer ${secret}` } })
    const vaults = (await (await ask('vaults', token)).json()) as {
      items: { name: string; isDefault: boolean }[]
    }
    expect(vaults.items).toMatchObject([{ name: 'local', isDefault: true }])
    expect((await ask('hosts', token)).status).toBe(200)
    expect((await ask('hosts', `${token.slice(0, -1)}x`)).status).toBe(401)

    const another = start(['init', '--another'], environment)
    expect(await another.ended).toBe(0)
    const more = (JSON.parse(another.said.stdout) as { token: string }).token
    expect((await ask('hosts', more)).status).toBe(200)

    serving.child.kill('SIGTERM')
    expect(await serving.ended).toBe(0)
    expect(serving.said.stdout).toBe('')
    expect(serving.said.stderr).toContain('the control plane serves')
    expect(serving.said.stderr).toContain('stopping')
    for (const secret of [token, more]) expect(serving.said.stderr).not.toContain(secret.slice(-64))
  })

  it('says what is wrong with its configuration, and what to do, without a stack', async () => {
    const open = start([], { HOLDFAST_LISTEN: '0.0.0.0:8420' })
    expect(await open.ended).toBe(1)
    expect(open.said.stderr).toMatch(/^holdfast: HOLDFAST_LISTEN: 0\.0\.0\.0 can be reached/)
    expect(open.said.stderr).toContain('set HOLDFAST_TLS_CERT_FILE')
    expect(open.said.stderr).not.toMatch(/^\s+at /m)
    const unknown = start(['serve'], {})
    expect(await unknown.ended).toBe(1)
    expect(unknown.said.stderr).toBe('holdfast: "serve" is not a command of this program\n')
  })
})
