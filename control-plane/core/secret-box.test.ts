import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createSecretBox, deriveKey } from './secret-box.ts'

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) }
const first = random.bytes(32)
const second = random.bytes(32)

describe('the secret box', () => {
  it('opens what it sealed, and never seals the same twice', async () => {
    const box = await createSecretBox({ masterKeys: [first], random })
    const one = await box.seal('s3cret ü', 'vaults/1/credentials')
    const two = await box.seal('s3cret ü', 'vaults/1/credentials')
    expect(one).not.toBe(two)
    expect(one).not.toContain('s3cret')
    expect(await box.open(one, 'vaults/1/credentials')).toBe('s3cret ü')
    expect(await box.open(two, 'vaults/1/credentials')).toBe('s3cret ü')
  })

  it('refuses a secret that was moved to another row', async () => {
    const box = await createSecretBox({ masterKeys: [first], random })
    const sealed = await box.seal('x', 'vaults/1/credentials')
    await expect(box.open(sealed, 'vaults/2/credentials')).rejects.toMatchObject({
      code: 'internal',
      message: 'a stored secret was moved or altered',
    })
  })

  it('refuses every altered character', async () => {
    const box = await createSecretBox({ masterKeys: [first], random })
    const sealed = await box.seal('short', 'p')
    for (let at = 0; at < sealed.length; at++) {
      const other = sealed[at] === 'A' ? 'B' : 'A'
      const altered = sealed.slice(0, at) + other + sealed.slice(at + 1)
      await expect(box.open(altered, 'p')).rejects.toMatchObject({ code: 'internal' })
    }
  })

  it('rotates: old secrets open under the key behind, new ones are sealed under the first', async () => {
    const old = await (await createSecretBox({ masterKeys: [first], random })).seal('a', 'p')
    const both = await createSecretBox({ masterKeys: [second, first], random })
    expect(await both.open(old, 'p')).toBe('a')
    const fresh = await both.seal('b', 'p')
    const later = await createSecretBox({ masterKeys: [second], random })
    expect(await later.open(fresh, 'p')).toBe('b')
    await expect(later.open(old, 'p')).rejects.toMatchObject({
      message: 'a stored secret was sealed under a key we do not have',
    })
  })

  it('derives another key for each purpose, as RFC 5869 says', async () => {
    const { hkdfSync } = await import('node:crypto')
    const ours = await deriveKey(first, 'holdfast/vault-url/1')
    const theirs = hkdfSync('sha256', first, Buffer.alloc(0), 'holdfast/vault-url/1', 32)
    expect(ours).toEqual(new Uint8Array(theirs))
    expect(await deriveKey(first, 'other')).not.toEqual(ours)
    await expect(deriveKey(first.subarray(1), 'x')).rejects.toMatchObject({ code: 'invalid' })
  })
})
