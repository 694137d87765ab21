import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  assertUsableKey,
  macMatches,
  open,
  type SealingKey,
  seal,
  sealOverhead,
  sealWithIv,
} from './cipher.ts'
import { systemRandom } from './id.ts'

const hex = (text: string) => Buffer.from(text, 'hex')

// The key of restic's own crypto test.
const resticKey: SealingKey = {
  encrypt: hex('303e8687b1d7db18421bdc6bb8588ccadac4d59ee87b8ff70c44e635790cafef'),
  macK: hex('ef4d8824cb80b2bcc5fbff8a9b12a42c'),
  macR: hex('cc8d4b948ee0ebfe1d415de921d10353'),
}
const helloIv = hex('000102030405060708090a0b0c0d0e0f')
const hello =
  '000102030405060708090a0b0c0d0e0f7cda86fc841e1fd2f26fb8c6de12562b7312a8a939706b9447e4ab27'

describe('sealing', () => {
  test("opens restic's own sealed message", () => {
    const sealed = hex(
      '69fb41c62d12def4593bd71757138606338f621aeaeb39da0fe4f99233f8037a54ea63338a813bcf3f75d8c3cc75dddf8750',
    )
    expect(open(resticKey, sealed).toString()).toBe('Dies ist ein Test!')
  })

  test('gives the known bytes for a known IV', () => {
    expect(sealWithIv(resticKey, Buffer.from('hello restic'), helloIv).toString('hex')).toBe(hello)
  })

  test('opens what it sealed, whatever the length, and is 32 bytes longer', () => {
    for (const length of [0, 1, 15, 16, 17, 31, 32, 33, 1000, 70_000, 1 << 20]) {
      const plain = randomBytes(length)
      const sealed = seal(resticKey, plain, systemRandom)
      expect(sealed.length).toBe(length + sealOverhead)
      expect(open(resticKey, sealed).equals(plain)).toBe(true)
    }
  })

  test('uses a fresh IV each time', () => {
    const ivs = new Set<string>()
    for (let i = 0; i < 1000; i++) {
      ivs.add(seal(resticKey, Buffer.alloc(1), systemRandom).toString('hex', 0, 16))
    }
    expect(ivs.size).toBe(1000)
  })

  test('refuses a message in which any single bit was changed', () => {
    const sealed = hex(hello)
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const broken = Buffer.from(sealed)
      broken[bit >> 3]! ^= 1 << (bit & 7)
      expect(() => open(resticKey, broken)).toThrow('fails its MAC')
    }
  })

  test('refuses what is too short to be sealed', () => {
    for (let length = 0; length < sealOverhead; length++) {
      expect(() => open(resticKey, Buffer.alloc(length, 1))).toThrow('fails its MAC')
    }
  })

  test('neither seals nor opens under an all-zero IV', () => {
    expect(() => sealWithIv(resticKey, Buffer.from('x'), Buffer.alloc(16))).toThrow('all zero')
    expect(macMatches(resticKey, Buffer.alloc(40))).toBe(false)
    const ivs = [Buffer.alloc(16), Buffer.alloc(16, 7)]
    const sealed = seal(resticKey, Buffer.from('x'), () => ivs.shift()!)
    expect(sealed.subarray(0, 16).equals(Buffer.alloc(16, 7))).toBe(true)
  })

  test('refuses a key that has an all-zero or short part', () => {
    for (const part of ['encrypt', 'macK', 'macR'] as const) {
      const zero = { ...resticKey, [part]: Buffer.alloc(resticKey[part].length) }
      expect(() => assertUsableKey(zero)).toThrow('empty or short')
      const short = { ...resticKey, [part]: resticKey[part].subarray(1) }
      expect(() => assertUsableKey(short)).toThrow('empty or short')
    }
    expect(() => assertUsableKey(resticKey)).not.toThrow()
  })
})
