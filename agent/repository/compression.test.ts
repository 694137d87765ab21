import { randomBytes } from 'node:crypto'
import { constants, zstdCompressSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { compress, decompress } from './compression.ts'

const text = Buffer.from('to be or not to be '.repeat(5000))

test('gives back what it took, at every level and for awkward lengths', () => {
  for (const level of [1, 2, 3, 9]) {
    for (const plain of [text, randomBytes(100_000), Buffer.alloc(1), Buffer.alloc(600_000)]) {
      expect(decompress(compress(plain, level), plain.length).equals(plain)).toBe(true)
    }
  }
})

test('writes one frame that names its content size and has no checksum', () => {
  const frame = compress(text, 2)
  expect(frame.readUInt32LE(0)).toBe(0xfd2fb528)
  const descriptor = frame[4]!
  const hasSize = descriptor >> 6 !== 0 || (descriptor & 0x20) !== 0
  expect(hasSize).toBe(true)
  expect(descriptor & 0x04).toBe(0)
})

test('decodes frames as other writers make them', () => {
  const checked = zstdCompressSync(text, { params: { [constants.ZSTD_c_checksumFlag]: 1 } })
  const sizeless = zstdCompressSync(text, { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } })
  expect(decompress(checked, text.length).equals(text)).toBe(true)
  expect(decompress(sizeless, text.length).equals(text)).toBe(true)
  const half = text.length / 2
  const two = Buffer.concat([compress(text.subarray(0, half), 2), compress(text.subarray(half), 2)])
  expect(decompress(two, text.length).equals(text)).toBe(true)
  expect(() => decompress(two, half + 1)).toThrow(expect.objectContaining({ code: 'too-large' }))
  const rubbish = Buffer.concat([compress(text, 2), Buffer.from('rubbish')])
  expect(() => decompress(rubbish, text.length + 9)).toThrow(
    expect.objectContaining({ code: 'damaged' }),
  )
})

test('stops at the limit: a bomb costs no more memory than was allowed', () => {
  const bomb = compress(Buffer.alloc(200 * 1024 * 1024), 3)
  expect(bomb.length).toBeLessThan(20_000)
  expect(() => decompress(bomb, 1024)).toThrow(expect.objectContaining({ code: 'too-large' }))
  expect(() => decompress(compress(text, 2), text.length - 1)).toThrow(
    expect.objectContaining({ code: 'too-large' }),
  )
})

test('refuses what is cut off, changed or no zstd at all', () => {
  const frame = compress(text, 2)
  for (const bad of [
    frame.subarray(0, -1),
    frame.subarray(0, 3),
    Buffer.alloc(0),
    randomBytes(50),
  ]) {
    expect(() => decompress(bad, text.length)).toThrow(expect.objectContaining({ code: 'damaged' }))
  }
})
