import { createCipheriv, randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { nativePoly1305, oneTimeAuth, portableOneTimeAuth } from './poly1305.ts'

const hex = (text: string) => Buffer.from(text, 'hex')

const implementations = { libsodium: oneTimeAuth, portable: portableOneTimeAuth }

function tagOf(auth: typeof oneTimeAuth, message: Buffer, key: Buffer): string {
  const tag = Buffer.alloc(16)
  auth(tag, message, key)
  return tag.toString('hex')
}

describe.each(Object.entries(implementations))('Poly1305 by %s', (_name, auth) => {
  test("gives the tag of Bernstein's first Poly1305-AES example", () => {
    const ecb = createCipheriv('aes-128-ecb', hex('ec074c835580741701425b623235add6'), null)
    ecb.setAutoPadding(false)
    const pad = ecb.update(hex('fb447350c4e868c52ac3275cf9d4327e'))
    const key = Buffer.concat([hex('851fc40c3467ac0be05cc20404f3f700'), pad])
    expect(tagOf(auth, hex('f3f6'), key)).toBe('f4c633c3044fc145f84f335cb81953de')
  })

  test('gives the tag of RFC 8439, 2.5.2', () => {
    const key = hex('85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b')
    const message = Buffer.from('Cryptographic Forum Research Group')
    expect(tagOf(auth, message, key)).toBe('a8061dc1305136c6c22b8baf0c0127a9')
  })

  test('reduces sums at and above the prime, as RFC 8439, A.3 vectors 7 to 9 ask', () => {
    const one = Buffer.alloc(32)
    one[0] = 1
    const two = Buffer.alloc(32)
    two[0] = 2
    const f = 'f'.repeat(32)
    const seven = hex(`${f}f0${'f'.repeat(30)}11${'0'.repeat(30)}`)
    expect(tagOf(auth, seven, one)).toBe(`05${'0'.repeat(30)}`)
    const eight = hex(`${f}fb${'fe'.repeat(15)}${'01'.repeat(16)}`)
    expect(tagOf(auth, eight, one)).toBe('0'.repeat(32))
    expect(tagOf(auth, hex(`fd${'f'.repeat(30)}`), two)).toBe(`fa${'f'.repeat(30)}`)
  })

  test('gives the pad itself for an empty message', () => {
    const key = randomBytes(32)
    expect(tagOf(auth, Buffer.alloc(0), key)).toBe(key.toString('hex', 16))
  })
})

test('libsodium loads on the platforms this is tested on', () => {
  expect(nativePoly1305).toBe(true)
})

test('both implementations agree on random and on extreme messages and keys', () => {
  for (let i = 0; i < 2000; i++) {
    const extreme = i % 4 === 0
    const message = extreme ? Buffer.alloc(i % 100, 0xff) : randomBytes(i % 300)
    const key = i % 8 === 0 ? Buffer.alloc(32, 0xff) : randomBytes(32)
    expect(tagOf(portableOneTimeAuth, message, key)).toBe(tagOf(oneTimeAuth, message, key))
  }
})
