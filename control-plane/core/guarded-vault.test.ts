import { describe, expect, it } from 'vitest'
import type { VaultCapabilities } from '../../shared/vault/vault.ts'
import type { Objects } from '../ports/objects.ts'
import { guardVault } from './guarded-vault.ts'
import { UNKNOWN } from './probe.ts'

const signed = { url: 'https://store.example/x', headers: {} }
const objects = { signPut: async () => signed, signGet: async () => signed } as unknown as Objects
const wanted = { key: 'x', bytes: 100, sha256: '0'.repeat(64), md5: '0'.repeat(32), seconds: 900 }

/** The refusal of an upload at a vault where the probe saw this. */
async function refusal(saw: Partial<VaultCapabilities> | null) {
  const capabilities = saw === null ? null : { ...UNKNOWN, ...saw }
  const vault = guardVault(objects, { name: 'main', capabilities, clockSkewMs: null })
  // Reading what is there is never refused for what uploads could do.
  expect(await vault.objects.signGet({ key: 'x', seconds: 900 })).toBe(signed)
  return vault.objects.signPut(wanted).then(
    () => undefined,
    (error: Error) => error.message,
  )
}

describe('a vault where a stolen host could hurt history', () => {
  it('is granted no uploads, and the refusal says what the probe saw', async () => {
    const no = (what: string) => `vault "main" lets a grant holder ${what}: no uploads are granted`
    expect(await refusal({ refusesSmuggledCopy: false })).toBe(no('read other objects'))
    expect(await refusal({ bindsMethodAndKey: false })).toBe(no('write under other names'))
    for (const ifNoneMatch of ['ignored', 'rejected', null] as const) {
      expect(await refusal({ enforcesSha256: false, enforcesMd5: false, ifNoneMatch })).toBe(
        no('replace what was stored'),
      )
    }
  })

  it('is one where nothing holds: one guard of the content is enough, and what is not known forbids nothing', async () => {
    expect(await refusal({ enforcesSha256: false, enforcesMd5: true })).toBeUndefined()
    expect(await refusal({ enforcesSha256: false, ifNoneMatch: 'enforced' })).toBeUndefined()
    expect(await refusal({ enforcesSha256: true, ifNoneMatch: 'ignored' })).toBeUndefined()
    expect(await refusal({})).toBeUndefined()
    expect(await refusal(null)).toBeUndefined()
  })
})
