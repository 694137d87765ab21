import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import {
  concatBytes,
  equalBytes,
  fromBase64,
  fromHex,
  sha256Hex,
  toBase64,
  toBase64Url,
  toHex,
  utf8,
} from './bytes.ts'

describe('bytes as text', () => {
  it('agree with Node for every length up to 300 and for a large one', () => {
    for (const length of [...Array(300).keys(), 100_003]) {
      const bytes = new Uint8Array(randomBytes(length))
      const node = Buffer.from(bytes)
      expect(toHex(bytes)).toBe(node.toString('hex'))
      expect(toBase64(bytes)).toBe(node.toString('base64'))
      expect(toBase64Url(bytes)).toBe(node.toString('base64url'))
      expect(fromHex(toHex(bytes))).toEqual(bytes)
      expect(fromBase64(toBase64(bytes))).toEqual(bytes)
    }
  })

  it('are read strictly', () => {
    for (const text of ['0', 'AB', '0g', ' 00'])
      expect(() => fromHex(text), text).toThrow(RangeError)
    for (const text of ['A', 'AA', 'AA=', 'AA==A', 'A-_=', 'AAAA\n', '===='])
      expect(() => fromBase64(text), text).toThrow(RangeError)
  })

  it('compare by content and length', () => {
    expect(equalBytes(utf8('same'), utf8('same'))).toBe(true)
    expect(equalBytes(utf8('same'), utf8('sane'))).toBe(false)
    expect(equalBytes(utf8('same'), utf8('sam'))).toBe(false)
  })

  it('join, and hash as SHA-256', async () => {
    expect(await sha256Hex(concatBytes(utf8('hello'), utf8('\n')))).toBe(
      '5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03',
    )
  })
})
