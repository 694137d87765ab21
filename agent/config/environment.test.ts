import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { HoldfastError } from '../../shared/errors.ts'
import { readConfig, secretOf } from './environment.ts'

let folder: string
let file: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-config-'))
  file = join(folder, 'secret')
  writeFileSync(file, '  from-a-file\n')
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Message and hint of what `call` throws. */
function complaint(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    return `${(error as Error).message} | ${(error as HoldfastError).hint}`
  }
  return 'nothing was thrown'
}

describe('readConfig', () => {
  it('needs nothing', () => {
    expect(readConfig({})).toEqual({
      stateDirectory: '/var/lib/holdfast-agent',
      network: {},
      docker: { host: undefined, tls: false, certificates: undefined },
      volumesRoot: undefined,
      logLevel: 'info',
    })
  })

  it('takes proxies by the names that every program knows, and a secret one from a file', () => {
    const network = { proxy: 'http://proxy.example:3128', noProxy: 'a.example' }
    expect(readConfig({ HTTPS_PROXY: network.proxy, NO_PROXY: 'a.example' }).network).toEqual(
      network,
    )
    expect(readConfig({ https_proxy: network.proxy, no_proxy: 'a.example' }).network).toEqual(
      network,
    )
    writeFileSync(join(folder, 'proxy'), `${network.proxy}\n`)
    expect(readConfig({ HTTPS_PROXY_FILE: join(folder, 'proxy') }).network.proxy).toBe(
      network.proxy,
    )
  })

  it('takes empty variables for unset ones, as Compose passes them', () => {
    expect(readConfig({ HOLDFAST_STATE_DIR: '', HTTPS_PROXY: '', DOCKER_HOST: '' })).toEqual(
      readConfig({}),
    )
  })

  it.each([
    [
      { HOLDFAST_STATE_DIR: 'state' },
      'environment: HOLDFAST_STATE_DIR: "state": must be an absolute path | correct the variable or unset it',
    ],
    [
      { HOLDFAST_VOLUMES_ROOT: './v' },
      'environment: HOLDFAST_VOLUMES_ROOT: "./v": must be an absolute path | correct the variable or unset it',
    ],
    [
      { HOLDFAST_LOG_LEVEL: 'loud' },
      'environment: HOLDFAST_LOG_LEVEL: "loud": must be one of error, warn, info, silent | correct the variable or unset it',
    ],
    [
      { HOLDFAST_CA_FILE: '/nonexistent/ca.pem' },
      'HOLDFAST_CA_FILE: "/nonexistent/ca.pem": cannot be read: ENOENT | name a PEM file that the agent may read',
    ],
    [
      { HTTPS_PROXY: 'CANARY@proxy' },
      'HTTPS_PROXY: must be an http:// or https:// URL | for example http://user:password@proxy.example:3128',
    ],
  ])('says what is wrong with %o, and what to do', (environment, expected) => {
    const said = complaint(() => readConfig(environment))
    expect(said).toBe(expected)
    expect(said).not.toContain('CANARY')
  })
})

describe('secretOf', () => {
  it('reads a variable, or the file that its _FILE twin names, without the blanks around it', () => {
    expect(secretOf({ TOKEN: 'x' }, 'TOKEN')).toBe('x')
    expect(secretOf({ TOKEN_FILE: file }, 'TOKEN')).toBe('from-a-file')
    expect(secretOf({}, 'TOKEN')).toBeUndefined()
  })

  it('refuses both at once, and a file that is not there, without the secret', () => {
    expect(complaint(() => secretOf({ TOKEN: 'CANARY', TOKEN_FILE: file }, 'TOKEN'))).toBe(
      'TOKEN and TOKEN_FILE are both set | unset one of them',
    )
    expect(complaint(() => secretOf({ TOKEN_FILE: '/nonexistent' }, 'TOKEN'))).toBe(
      'TOKEN_FILE: "/nonexistent": cannot be read: ENOENT | name a file that the agent may read',
    )
  })
})
