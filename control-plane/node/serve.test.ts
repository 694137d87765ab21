// The listening socket with real TLS, real files and a real upgrade of them.
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import type { Log } from '../core/log.ts'
import { parseProxies } from './client-address.ts'
import { serve } from './serve.ts'
import { systemClock } from './system.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-serve-'))
const file = (name: string) => join(folder, name)
const lines: string[] = []
const say = (message: string) => void lines.push(message)
const log: Log = { info: say, warn: say, error: say }

function certificate(name: string): void {
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '1',
    ].concat(['-subj', `/CN=${name}`, '-keyout', file(`${name}.key`), '-out', file(`${name}.crt`)]),
    { stdio: 'ignore' },
  )
}
const use = (name: string) => {
  copyFileSync(file(`${name}.key`), file('tls.key'))
  copyFileSync(file(`${name}.crt`), file('tls.crt'))
}

beforeAll(() => {
  certificate('old')
  certificate('new')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const open = (more: object = {}) =>
  serve({
    listen: { host: '127.0.0.1', port: 0 },
    tls: undefined,
    trustedProxies: parseProxies(''),
    raw: () => false,
    fetch: (_request, env) => new Response(env.address),
    webSockets: new WebSocketServer({ noServer: true }),
    log,
    ...more,
  })

/** Common name of the certificate the server shows, over a fresh connection. */
function shown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ port, host: '127.0.0.1', rejectUnauthorized: false, agent: false })
    asked.on('error', reject)
    asked.on('response', (response) => {
      resolve(String((response.socket as TLSSocket).getPeerCertificate().subject.CN))
      response.resume()
    })
    asked.end()
  })
}

describe('serving', () => {
  it('takes up a renewed certificate without a restart, and keeps the old one while the new is broken', async () => {
    use('old')
    const tls = { certFile: file('tls.crt'), keyFile: file('tls.key') }
    const serving = await open({ tls })
    expect(await shown(serving.port)).toBe('old')
    writeFileSync(file('tls.crt'), 'half a certificate')
    const until = async (line: string) => {
      for (let i = 0; i < 150 && !lines.includes(line); i++) await systemClock.sleep(100)
      expect(lines).toContain(line)
    }
    await until('renewed TLS files cannot be used; the old ones keep serving')
    expect(await shown(serving.port)).toBe('old')
    use('new')
    await until('took up renewed TLS files')
    expect(await shown(serving.port)).toBe('new')
    await serving.stop()
  }, 40_000)

  it('refuses files that make no pair, naming them', async () => {
    use('old')
    copyFileSync(file('new.key'), file('tls.key'))
    const tls = { certFile: file('tls.crt'), keyFile: file('tls.key') }
    await expect(open({ tls })).rejects.toThrow(/do not make a pair/)
    await expect(open({ tls: { ...tls, certFile: '/nowhere.crt' } })).rejects.toThrow(
      'HOLDFAST_TLS_CERT_FILE: /nowhere.crt cannot be read (ENOENT)',
    )
  })

  it('believes forwarded headers from trusted proxies only', async () => {
    const ask = async (trusted: string) => {
      const serving = await open({ trustedProxies: parseProxies(trusted) })
      const headers = { 'x-forwarded-for': '203.0.113.9' }
      const response = await fetch(`http://127.0.0.1:${serving.port}/`, { headers })
      const address = await response.text()
      await serving.stop()
      return address
    }
    expect(await ask('')).toBe('127.0.0.1')
    expect(await ask('127.0.0.0/8')).toBe('203.0.113.9')
  })

  it('asks the raw door first', async () => {
    const serving = await open({
      raw: (request: { url?: string }, response: { end(text: string): void }) => {
        if (request.url !== '/vault/x') return false
        response.end('raw')
        return true
      },
    })
    const text = async (path: string) =>
      (await fetch(`http://127.0.0.1:${serving.port}${path}`)).text()
    expect([await text('/vault/x'), await text('/other')]).toEqual(['raw', '127.0.0.1'])
    await serving.stop()
  })

  it('says which port is taken', async () => {
    const first = await open()
    const listen = { host: '127.0.0.1', port: first.port }
    await expect(open({ listen })).rejects.toThrow(
      `cannot listen on 127.0.0.1:${first.port} (EADDRINUSE)`,
    )
    await first.stop()
  })

  it('lets requests under way finish when it stops', async () => {
    let begin: () => void
    const begun = new Promise<void>((resolve) => {
      begin = resolve
    })
    const serving = await open({
      fetch: async () => {
        begin()
        await systemClock.sleep(100)
        return new Response('done')
      },
    })
    const answer = fetch(`http://127.0.0.1:${serving.port}/`)
    await begun
    const [response] = await Promise.all([answer, serving.stop()])
    expect(await response.text()).toBe('done')
  })
})
