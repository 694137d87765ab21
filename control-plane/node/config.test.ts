import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { HoldfastError } from '../../shared/errors.ts'
import { type Environment, readConfig } from './config.ts'

const folder = mkdtempSync(join(tmpdir(), 'holdfast-config-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const key = Buffer.alloc(32, 7).toString('base64')
const tls = { HOLDFAST_TLS_CERT_FILE: '/tls/cert.pem', HOLDFAST_TLS_KEY_FILE: '/tls/key.pem' }

function failure(environment: Environment): string {
  try {
    readConfig(environment)
  } catch (error) {
    if (error instanceof HoldfastError) return error.message
    throw error
  }
  throw new Error('it was taken')
}

describe('the configuration', () => {
  it('by default listens on loopback, for whoever is on this machine', () => {
    const config = readConfig({})
    expect(config.listen).toEqual({ host: '127.0.0.1', port: 8420 })
    expect(config.publicUrl).toBe('http://127.0.0.1:8420')
    expect(config.tls).toBeUndefined()
    expect(config.masterKeys).toBeUndefined()
  })

  it('listens everywhere once TLS or a trusted proxy is named', () => {
    const open = { HOLDFAST_LISTEN: '0.0.0.0:443', HOLDFAST_PUBLIC_URL: 'https://b.example.com/' }
    expect(readConfig({ ...open, ...tls }).publicUrl).toBe('https://b.example.com')
    const behind = readConfig({ ...open, HOLDFAST_TRUSTED_PROXIES: '10.0.0.0/8' })
    expect(behind.trustedProxies.has('10.1.1.1')).toBe(true)
  })

  it('reads secrets from files too', () => {
    const file = join(folder, 'key')
    writeFileSync(file, `${key}\n`)
    const older = Buffer.alloc(32, 8).toString('base64')
    expect(readConfig({ HOLDFAST_MASTER_KEY_FILE: file }).masterKeys).toHaveLength(1)
    expect(readConfig({ HOLDFAST_MASTER_KEY: `${key},${older}` }).masterKeys?.[1]?.[0]).toBe(8)
  })

  it('understands IPv6', () => {
    expect(readConfig({ HOLDFAST_LISTEN: '[::1]:9000' }).publicUrl).toBe('http://[::1]:9000')
  })
})

describe('the configuration is refused, with cause', () => {
  it.each<[Environment, string]>([
    [
      { HOLDFAST_LISTEN: '0.0.0.0:8420' },
      'HOLDFAST_LISTEN: 0.0.0.0 can be reached from other machines, but there is neither TLS nor a trusted proxy',
    ],
    [{ HOLDFAST_LISTEN: '8420' }, 'HOLDFAST_LISTEN: "8420" is not host:port'],
    [{ HOLDFAST_LISTEN: '127.0.0.1:99999' }, 'HOLDFAST_LISTEN: "127.0.0.1:99999" is not host:port'],
    [
      { HOLDFAST_TLS_CERT_FILE: '/tls/cert.pem' },
      'HOLDFAST_TLS_KEY_FILE: is not set, but HOLDFAST_TLS_CERT_FILE is',
    ],
    [
      { HOLDFAST_LISTEN: '0.0.0.0:443', ...tls },
      'HOLDFAST_PUBLIC_URL: is not set; hosts need to know where to dial',
    ],
    [
      { HOLDFAST_PUBLIC_URL: 'http://b.example.com' },
      'HOLDFAST_PUBLIC_URL: "http://b.example.com" is plain http to another machine; agents refuse it',
    ],
    [
      { HOLDFAST_PUBLIC_URL: 'https://b.example.com/holdfast' },
      'HOLDFAST_PUBLIC_URL: must be scheme, host and port only',
    ],
    [{ HOLDFAST_PUBLIC_URL: 'backup' }, 'HOLDFAST_PUBLIC_URL: "backup" is not an http(s) URL'],
    [
      { HOLDFAST_TRUSTED_PROXIES: 'lb.local' },
      'HOLDFAST_TRUSTED_PROXIES: "lb.local" is not an address or a CIDR range',
    ],
    [{ HOLDFAST_DATA: 'data' }, 'HOLDFAST_DATA: "data" is not an absolute path'],
    [
      { HOLDFAST_MASTER_KEY: key, HOLDFAST_MASTER_KEY_FILE: '/key' },
      'HOLDFAST_MASTER_KEY: is set, and HOLDFAST_MASTER_KEY_FILE too',
    ],
    [
      { HOLDFAST_MASTER_KEY_FILE: '/nowhere/key' },
      'HOLDFAST_MASTER_KEY_FILE: /nowhere/key cannot be read (ENOENT)',
    ],
    [
      { HOLDFAST_WEBHOOK_ALLOW: 'intranet' },
      'HOLDFAST_WEBHOOK_ALLOW: "intranet" is not an address range',
    ],
    [
      { HOLDFAST_LOG_LEVEL: 'loud' },
      'HOLDFAST_LOG_LEVEL: "loud" is not one of trace, debug, info, warn, error, fatal, silent',
    ],
  ])('%j', (environment, message) => {
    expect(failure(environment)).toBe(message)
  })

  it('without repeating a bad master key', () => {
    const secret = Buffer.alloc(16, 9).toString('base64')
    const message = failure({ HOLDFAST_MASTER_KEY: secret })
    expect(message).toBe('HOLDFAST_MASTER_KEY: must hold keys of 32 bytes in base64')
  })
})
