import { describe, expect, test } from 'vitest'
import { type BlobType, openBlob, type SealedBlob, sealBlob } from './blob.ts'
import { type SealingKey, seal, sealWithIv } from './cipher.ts'
import { idOf, systemRandom } from './id.ts'
import { OpenPack, PackSpread, packTarget } from './pack.ts'
import { decodeHeader, encodeHeader, packSize, readHeader } from './pack-header.ts'

const range = (from: number, count: number) =>
  Buffer.from(Array.from({ length: count }, (_, i) => from + i))

const key: SealingKey = { encrypt: range(0x00, 32), macK: range(0x20, 16), macR: range(0x30, 16) }
const golden =
  '40404040404040404040404040404040f9a99bee664bd6b18da4a148dd498d5a44f21260982041414141414141414141414141414141728ba366442b55ad7c357149f4ae7f9670c95d6ffef4214bf041bf1a27f3b2e1435b1ea8c67d264f7071602299600ec9a33e2e276645000000'
const hello = '5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03'

function fake(bytes: number, type: BlobType = 'data'): SealedBlob {
  const sealed = seal(key, Buffer.alloc(bytes - 32, 1), systemRandom)
  return { id: idOf(sealed), type, sealed, uncompressedLength: 0 }
}

function blob(text: string, type: BlobType = 'data', level = 2): SealedBlob {
  const plain = Buffer.from(text)
  return sealBlob({ key, type, id: idOf(plain), plain, level, random: systemRandom })
}

describe('packs', () => {
  test('the golden pack comes out byte for byte', () => {
    const pack = new OpenPack('data')
    const sealed = sealWithIv(key, Buffer.from('hello\n'), Buffer.alloc(16, 0x40))
    pack.add({ id: hello, type: 'data', sealed, uncompressedLength: 0 })
    const { id, bytes, md5, blobs } = pack.finish(key, () => Buffer.alloc(16, 0x41), true)
    expect(bytes.toString('hex')).toBe(golden)
    expect(id).toBe('74528576d6b890073371bfbbaaeac09e931d406db3412e4edc27c8367ab0c8a9')
    expect(md5).toMatch(/^[0-9a-f]{32}$/)
    expect(blobs).toEqual([
      { id: hello, type: 'data', offset: 0, length: 38, uncompressedLength: 0 },
    ])
  })

  test('the golden pack is read back', () => {
    const bytes = Buffer.from(golden, 'hex')
    const [entry] = readHeader(key, bytes)
    expect(encodeHeader([entry!]).toString('hex')).toBe(`0026000000${hello}`)
    const sealed = bytes.subarray(0, entry!.length)
    expect(openBlob({ key, id: hello, sealed, uncompressedLength: 0 }).toString()).toBe('hello\n')
  })

  test('a header holds plain and compressed blobs of both types', () => {
    const pack = new OpenPack('data')
    const blobs = [
      blob('x'),
      blob('y'.repeat(1000)),
      blob('z', 'tree'),
      blob('t'.repeat(500), 'tree'),
    ]
    for (const one of blobs) pack.add(one)
    const { bytes, blobs: listed } = pack.finish(key, systemRandom, false)
    expect(listed.map((one) => one.uncompressedLength)).toEqual([0, 1000, 0, 500])
    expect(readHeader(key, bytes)).toEqual(listed)
    expect(packSize(listed)).toBe(bytes.length)
    expect(decodeHeader(encodeHeader(listed))).toEqual(listed)
  })

  test('a pack with a byte too many, too few or changed is refused', () => {
    const pack = new OpenPack('data')
    for (const text of ['a', 'b'.repeat(100), 'c']) pack.add(blob(text))
    const { bytes } = pack.finish(key, systemRandom, false)
    const longer = Buffer.concat([Buffer.of(0), bytes])
    for (const bad of [longer, bytes.subarray(1), bytes.subarray(0, -1), Buffer.alloc(0)]) {
      expect(() => readHeader(key, bad)).toThrow(
        expect.objectContaining({ name: 'RepositoryError' }),
      )
    }
    for (let i = bytes.length - 100; i < bytes.length; i++) {
      const bad = Buffer.from(bytes)
      bad[i]! ^= 0x10
      expect(() => readHeader(key, bad)).toThrow(
        expect.objectContaining({ name: 'RepositoryError' }),
      )
    }
  })
})

describe('sealing a blob', () => {
  test('compresses what shrinks and leaves plain what does not', () => {
    expect(blob('a'.repeat(9999)).uncompressedLength).toBe(9999)
    const noise = systemRandom(5000)
    const kept = sealBlob({
      key,
      type: 'data',
      id: idOf(noise),
      plain: noise,
      level: 2,
      random: systemRandom,
    })
    expect(kept.uncompressedLength).toBe(0)
    expect(kept.sealed.length).toBe(5032)
  })

  test('with level 0 leaves data plain, and still compresses trees', () => {
    expect(blob('a'.repeat(999), 'data', 0).uncompressedLength).toBe(0)
    expect(blob('a'.repeat(999), 'tree', 0).uncompressedLength).toBe(999)
  })

  test('an empty blob is never marked as compressed', () => {
    const empty = blob('')
    expect(empty.uncompressedLength).toBe(0)
    expect(empty.sealed.length).toBe(32)
  })

  test('refuses to let go of a blob that does not hash to its id', () => {
    const plain = Buffer.from('right')
    const wrong = idOf(Buffer.from('wrong'))
    expect(() =>
      sealBlob({ key, type: 'data', id: wrong, plain, level: 2, random: systemRandom }),
    ).toThrow(expect.objectContaining({ code: 'self-check-failed' }))
  })

  test('opening notices a listed length that is not the real one', () => {
    const { id, sealed } = blob('a'.repeat(1000))
    for (const uncompressedLength of [999, 1001, 1, 2 ** 31]) {
      expect(() => openBlob({ key, id, sealed, uncompressedLength })).toThrow(
        expect.objectContaining({ name: 'RepositoryError' }),
      )
    }
  })
})

describe('the two open packs', () => {
  test('share the blobs by chance, each closing once it is full', () => {
    const spread = new PackSpread('data', systemRandom)
    const full: OpenPack[] = []
    for (let i = 0; i < 100; i++) {
      const pack = spread.add(fake(1024 * 1024))
      if (pack !== undefined) full.push(pack)
    }
    expect(full.length).toBeGreaterThanOrEqual(4)
    expect(full.length).toBeLessThanOrEqual(6)
    for (const pack of full) expect(pack.bytes).toBe(packTarget)
    const left = spread.drain()
    const total = [...full, ...left].reduce((sum, pack) => sum + pack.bytes, 0)
    expect(total).toBe(100 * 1024 * 1024)
  })

  test('are merged at the end where both fit into one', () => {
    const spread = new PackSpread('tree', systemRandom)
    for (let i = 0; i < 50; i++) expect(spread.add(fake(1000, 'tree'))).toBeUndefined()
    const left = spread.drain()
    expect(left.length).toBe(1)
    expect(left[0]!.bytes).toBe(50_000)
    expect(spread.drain()).toEqual([])
  })

  test('a sealed blob as long as a pack gets one of its own', () => {
    const spread = new PackSpread('tree', systemRandom)
    spread.add(fake(1000, 'tree'))
    const alone = spread.add(fake(packTarget, 'tree'))
    expect(alone?.bytes).toBe(packTarget)
    expect(spread.drain()[0]?.bytes).toBe(1000)
  })
})
