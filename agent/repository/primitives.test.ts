import { createCipheriv, createHash, randomBytes } from 'node:crypto'
import { constants, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { type Primitives, primitives } from './primitives.ts'
import { nativePrimitives } from './primitives-native.ts'
import { portablePrimitives } from './primitives-portable.ts'

const hex = (text: string) => Buffer.from(text, 'hex')
const native = nativePrimitives()

test('the library inside this Node is used', () => {
  expect(native?.name).toBe('native')
  expect(primitives.name).toBe('native')
})

const both: [string, Primitives][] = [
  ['native', native ?? portablePrimitives],
  ['portable', portablePrimitives],
]
const text = Buffer.from('to be or not to be '.repeat(5000))
const damaged = expect.objectContaining({ code: 'damaged' })
const tooLarge = expect.objectContaining({ code: 'too-large' })

describe.each(both)('%s primitives', (name, one) => {
  const filled = (bytes: number, fill: (into: Buffer) => void) => {
    const into = Buffer.alloc(bytes, 0x55)
    fill(into)
    return into.toString('hex')
  }
  const compressed = (plain: Uint8Array, level = 2) => {
    const room = Buffer.alloc(plain.length + (plain.length >> 8) + 512)
    return room.subarray(0, one.compress(plain, level, room))
  }

  test('are what their name says', () => expect(one.name).toBe(name))

  test('copy, and hash as node:crypto does, whatever the length and wherever the bytes lie', () => {
    const shared = Buffer.from(new SharedArrayBuffer(200_000))
    randomBytes(200_000).copy(shared)
    for (const length of [0, 1, 55, 56, 63, 64, 65, 1000, 150_000]) {
      const bytes = shared.subarray(7, 7 + length)
      const copy = Buffer.alloc(length)
      one.copy(bytes, copy)
      expect(copy.equals(bytes)).toBe(true)
      expect(filled(32, (into) => one.sha256(bytes, into))).toBe(
        createHash('sha256').update(copy).digest('hex'),
      )
      expect(filled(16, (into) => one.md5(bytes, into))).toBe(
        createHash('md5').update(copy).digest('hex'),
      )
    }
  })

  test('encrypt as NIST SP 800-38A, F.5.5 and F.1.1, and as node:crypto for long messages', () => {
    const key = hex('603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4')
    const iv = hex('f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff')
    const plain = hex('6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51')
    const sealed = '601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5'
    expect(filled(32, (into) => one.aes256Ctr(key, iv, plain, into))).toBe(sealed)
    const inPlace = Buffer.from(plain)
    one.aes256Ctr(key, iv, inPlace, inPlace)
    expect(inPlace.toString('hex')).toBe(sealed)
    const ecbKey = hex('2b7e151628aed2a6abf7158809cf4f3c')
    expect(filled(16, (into) => one.aes128Block(ecbKey, plain.subarray(0, 16), into))).toBe(
      '3ad77bb40d7a3660a89ecaf32466ef97',
    )
    for (const length of [0, 1, 15, 17, 4096, 300_001]) {
      const otherKey = randomBytes(32) // keys change from call to call: none may be remembered too long
      const message = randomBytes(length)
      const expected = createCipheriv('aes-256-ctr', otherKey, iv).update(message).toString('hex')
      expect(filled(length, (into) => one.aes256Ctr(otherKey, iv, message, into))).toBe(expected)
    }
  })

  test("give the tag of Bernstein's first Poly1305-AES example", () => {
    const key = Buffer.concat([hex('851fc40c3467ac0be05cc20404f3f700'), Buffer.alloc(16)])
    one.aes128Block(
      hex('ec074c835580741701425b623235add6'),
      hex('fb447350c4e868c52ac3275cf9d4327e'),
      key.subarray(16),
    )
    expect(filled(16, (into) => one.poly1305(into, hex('f3f6'), key))).toBe(
      'f4c633c3044fc145f84f335cb81953de',
    )
  })

  test('give the tags of RFC 8439, 2.5.2, and of A.3 vectors 7 to 9 at and above the prime', () => {
    const tag = (message: Buffer, key: Buffer) =>
      filled(16, (into) => one.poly1305(into, message, key))
    const key = hex('85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b')
    const group = Buffer.from('Cryptographic Forum Research Group')
    expect(tag(group, key)).toBe('a8061dc1305136c6c22b8baf0c0127a9')
    const keyOf = (r: number) => Buffer.concat([Buffer.of(r), Buffer.alloc(31)])
    const f = 'f'.repeat(32)
    const seven = hex(`${f}f0${'f'.repeat(30)}11${'0'.repeat(30)}`)
    expect(tag(seven, keyOf(1))).toBe(`05${'0'.repeat(30)}`)
    expect(tag(hex(`${f}fb${'fe'.repeat(15)}${'01'.repeat(16)}`), keyOf(1))).toBe('0'.repeat(32))
    expect(tag(hex(`fd${'f'.repeat(30)}`), keyOf(2))).toBe(`fa${'f'.repeat(30)}`)
    const pad = randomBytes(32)
    expect(tag(Buffer.alloc(0), pad)).toBe(pad.toString('hex', 16))
  })

  test('compress into what is given, and say when it does not fit', () => {
    for (const level of [1, 2, 3, 9]) {
      for (const plain of [text, randomBytes(100_000), Buffer.alloc(1), Buffer.alloc(600_000)]) {
        const packed = compressed(plain, level)
        expect(one.decompress(packed, plain.length).equals(plain)).toBe(true)
        const exact = Buffer.alloc(plain.length)
        expect(one.decompressInto(packed, exact)).toBe(plain.length)
        expect(exact.equals(plain)).toBe(true)
      }
    }
    const noise = randomBytes(100_000)
    expect(one.compress(noise, 2, Buffer.alloc(noise.length - 1))).toBe(0)
  })

  test('hash what they decrypt or decompress without keeping it', () => {
    const key = randomBytes(32)
    const iv = randomBytes(16)
    for (const length of [0, 1, 16, 4096, 131_072, 131_073, 1_000_003]) {
      const from = randomBytes(length)
      const plain = Buffer.alloc(length)
      one.aes256Ctr(key, iv, from, plain)
      const hash = createHash('sha256').update(plain).digest('hex')
      expect(filled(32, (into) => one.hashDecrypted(key, iv, from, into))).toBe(hash)
      const packed = compressed(plain)
      expect(filled(32, (into) => void one.hashDecompressed(packed, into))).toBe(hash)
      expect(one.hashDecompressed(packed, Buffer.alloc(32))).toBe(length)
    }
    const frame = compressed(text)
    const broken = Buffer.from(frame)
    broken[20]! ^= 0x40
    const digest = Buffer.alloc(32)
    const right = createHash('sha256').update(text).digest()
    for (const bad of [
      frame.subarray(0, -1),
      frame.subarray(0, 4),
      Buffer.concat([frame, Buffer.of(1)]),
      Buffer.alloc(50, 0x77),
    ]) {
      expect(() => one.hashDecompressed(bad, digest)).toThrow(damaged)
    }
    try {
      one.hashDecompressed(broken, digest)
      expect(digest.equals(right)).toBe(false)
    } catch (error) {
      expect(error).toEqual(damaged)
    }
    // Whatever went wrong before leaves no trace.
    expect(one.hashDecompressed(frame, digest)).toBe(text.length)
    expect(digest.equals(right)).toBe(true)
  })

  test('never read or write beyond the end of a buffer', () => {
    const right = Buffer.alloc(32)
    const wrong = Buffer.alloc(15)
    for (const call of [
      () => one.copy(right, wrong),
      () => one.sha256(right, wrong),
      () => one.md5(right, wrong),
      () => one.aes256Ctr(right, right.subarray(16), right, wrong),
      () => one.aes256Ctr(wrong, right.subarray(16), right, right),
      () => one.aes256Ctr(right, wrong, right, right),
      () => one.aes128Block(right.subarray(16), wrong, right.subarray(16)),
      () => one.aes128Block(wrong, right.subarray(16), right.subarray(16)),
      () => one.aes128Block(right.subarray(16), right.subarray(16), wrong),
      () => one.poly1305(wrong, right, right),
      () => one.poly1305(right.subarray(16), right, wrong),
    ]) {
      expect(call).toThrow(RangeError)
    }
    const guarded = Buffer.alloc(text.length, 0xaa)
    expect(() => one.decompressInto(compressed(text), guarded.subarray(0, 1000))).toThrow(tooLarge)
    expect(guarded.subarray(1000).every((byte) => byte === 0xaa)).toBe(true)
  })

  test('decode frames as other writers make them', () => {
    const checked = zstdCompressSync(text, { params: { [constants.ZSTD_c_checksumFlag]: 1 } })
    const sizeless = zstdCompressSync(text, { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } })
    const half = text.length / 2
    const two = Buffer.concat([compressed(text.subarray(0, half)), compressed(text.subarray(half))])
    for (const packed of [checked, sizeless, two]) {
      expect(one.decompress(packed, text.length).equals(text)).toBe(true)
      expect(() => one.decompress(packed, half + 1)).toThrow(tooLarge)
    }
  })

  test('refuse what is cut off, followed by rubbish, changed or no zstd at all', () => {
    const frame = compressed(text)
    for (const bad of [
      frame.subarray(0, -1),
      frame.subarray(0, 3),
      Buffer.alloc(0),
      Buffer.alloc(50, 0x77),
      Buffer.concat([frame, Buffer.from('rubbish')]),
      Buffer.concat([frame, Buffer.of(1)]),
    ]) {
      expect(() => one.decompress(bad, text.length + 9)).toThrow(damaged)
      expect(() => one.decompressInto(bad, Buffer.alloc(text.length + 9))).toThrow(damaged)
    }
  })

  test('take no memory on the word of a header', () => {
    // A frame of one empty block that claims 2^40 bytes: magic, descriptor with an 8-byte size, size, block.
    const liar = Buffer.concat([hex('28b52ffd'), hex('e0'), hex('0000000000010000'), hex('010000')])
    const before = process.memoryUsage.rss()
    expect(() => one.decompress(liar, 1 << 30)).toThrow()
    expect(process.memoryUsage.rss() - before).toBeLessThan(64 << 20)
    const bomb = compressed(Buffer.alloc(100 << 20), 3)
    expect(() => one.decompress(bomb, 1024)).toThrow(tooLarge)
  })

  test('survive any change to a frame with one of two errors or an answer within the limit', () => {
    const frame = compressed(Buffer.concat([text.subarray(0, 3000), randomBytes(300), text]))
    for (let round = 0; round < 2000; round++) {
      const broken = Buffer.from(frame)
      for (let flips = 1 + (round % 3); flips > 0; flips--) {
        const [a, b, bit] = randomBytes(3)
        broken[((a! << 8) | b!) % broken.length]! ^= 1 << (bit! & 7)
      }
      const cut = broken.subarray(0, round % 4 === 0 ? round % broken.length : broken.length)
      try {
        expect(one.decompress(cut, 120_000).length).toBeLessThanOrEqual(120_000)
      } catch (error) {
        expect(['damaged', 'too-large']).toContain((error as { code: string }).code)
      }
    }
  })
})

test('both implementations agree on random and on extreme messages and keys', () => {
  const tagOf = (one: Primitives, message: Buffer, key: Buffer) => {
    const tag = Buffer.alloc(16)
    one.poly1305(tag, message, key)
    return tag.toString('hex')
  }
  for (let i = 0; i < 2000; i++) {
    const message = i % 4 === 0 ? Buffer.alloc(i % 100, 0xff) : randomBytes(i % 300)
    const key = i % 8 === 0 ? Buffer.alloc(32, 0xff) : randomBytes(32)
    expect(tagOf(portablePrimitives, message, key)).toBe(tagOf(native!, message, key))
  }
})
