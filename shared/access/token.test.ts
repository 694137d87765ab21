import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { issueToken, tokenId, tokenMatches } from './token.ts'

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) }

describe('a token', () => {
  it('is found by its id and proven by its hash, which does not contain it', async () => {
    const { token, id, hash } = await issueToken('api', random)
    expect(token).toMatch(/^hf_api_[0-9a-f]{16}_[0-9a-f]{64}$/)
    expect(tokenId('api', token)).toBe(id)
    expect(await tokenMatches(token, hash)).toBe(true)
    expect(token).not.toContain(hash)
  })

  it('is of one kind: an enrolment token opens no API', async () => {
    const { token } = await issueToken('enroll', random)
    expect(tokenId('enroll', token)).toBeDefined()
    expect(tokenId('api', token)).toBeUndefined()
    expect(tokenId('session', token)).toBeUndefined()
  })

  it('is refused when one digit differs or when it is not of the shape', async () => {
    const { token, hash } = await issueToken('api', random)
    const other = token.slice(0, -1) + (token.endsWith('0') ? '1' : '0')
    expect(await tokenMatches(other, hash)).toBe(false)
    for (const text of ['', 'hf_api', `${token} `, token.toUpperCase(), token.replace('_', '-')]) {
      expect(tokenId('api', text), text).toBeUndefined()
    }
  })
})
