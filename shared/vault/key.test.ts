import { describe, expect, it } from 'vitest'
import { isVaultPrefix, parseVaultKey } from './key.ts'
import { configKey, escrowKey, indexKey, packKey, receiptKey, smallKey } from './layout.ts'

const repository = '01890000-0000-7000-8000-000000000001'
const hash = 'ab'.repeat(32)

describe('vault keys', () => {
  it('knows every key the layout makes', () => {
    expect(parseVaultKey(packKey(repository, hash))).toEqual({ kind: 'pack', sha256: hash })
    expect(parseVaultKey(indexKey(repository, hash))).toEqual({ kind: 'index', sha256: hash })
    expect(parseVaultKey(smallKey(repository, 'key', hash))?.kind).toBe('key')
    expect(parseVaultKey(smallKey(repository, 'snapshot', hash))?.kind).toBe('snapshot')
    expect(parseVaultKey(smallKey(repository, 'lock', hash))?.kind).toBe('lock')
    expect(parseVaultKey(configKey(repository))).toEqual({ kind: 'config' })
    expect(parseVaultKey(escrowKey(repository, 3))).toEqual({ kind: 'escrow' })
    expect(parseVaultKey(receiptKey(repository, 7))).toEqual({ kind: 'receipt' })
    expect(parseVaultKey('holdfast/v1/log/tile/0/x001/x234/067')).toEqual({ kind: 'log' })
  })

  it.each([
    '',
    '/',
    `/${packKey(repository, hash)}`,
    `${packKey(repository, hash)}/`,
    `repositories/${repository}/data/ac/${hash}`,
    `repositories/${repository}/data/${hash}`,
    `repositories/${repository}/data/ab/${hash.toUpperCase()}`,
    `repositories/${repository}/data/AB/${hash}`,
    `repositories/${repository}/data/ab/${hash}\n`,
    `repositories/${repository}/data/ab/${hash}\0`,
    `repositories/${repository}//config`,
    `repositories/../config`,
    `repositories/${repository}/../${repository}/config`,
    `repositories/${repository}/./config`,
    `repositories/${repository}/%63onfig`,
    `repositories/${repository}/Config`,
    `repositories/${repository}/config.tmp`,
    'holdfast/v1/plane/../../x',
    'holdfast/v1/plane/.hidden',
    'holdfast/v1/plane//x',
    'holdfast/v2/vault.json',
    `holdfast/v1/probe/${repository}/..`,
  ])('refuses %j', (key) => {
    expect(parseVaultKey(key)).toBeUndefined()
  })

  it('lists by whole segments only', () => {
    expect(isVaultPrefix('')).toBe(true)
    expect(isVaultPrefix(`repositories/${repository}/index/`)).toBe(true)
    expect(isVaultPrefix('repositories')).toBe(false)
    expect(isVaultPrefix('../')).toBe(false)
    expect(isVaultPrefix('a//')).toBe(false)
  })
})
