import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { openBlob, openBlobInto, plainLength, sealBlob } from './blob.ts'
import { sealOverhead } from './cipher.ts'
import { idOf, systemRandom } from './id.ts'

const key = { encrypt: randomBytes(32), macK: randomBytes(16), macR: randomBytes(16) }
const damaged = expect.objectContaining({ code: 'damaged' })

const contents = {
  text: Buffer.from('to be or not to be '.repeat(5000)),
  noise: randomBytes(70_000),
  nothing: Buffer.alloc(0),
}

test.each(Object.entries(contents))(
  'a blob of %s opens into a buffer as into its own',
  (_, plain) => {
    const random = systemRandom
    const blob = sealBlob({ key, type: 'data', id: idOf(plain), plain, level: 2, random })
    const { id, sealed, uncompressedLength } = blob
    const kept = Buffer.from(sealed)
    expect(openBlob({ key, id, sealed, uncompressedLength }).equals(plain)).toBe(true)
    const length = plainLength({ length: sealed.length, uncompressedLength })
    expect(length).toBe(plain.length)

    const into = Buffer.alloc(length)
    const apart = Buffer.alloc(sealed.length - sealOverhead)
    openBlobInto({ key, id, sealed, uncompressedLength }, into, apart)
    expect(into.equals(plain)).toBe(true)
    expect(sealed.equals(kept)).toBe(true)

    into.fill(0)
    openBlobInto({ key, id, sealed, uncompressedLength }, into)
    expect(into.equals(plain)).toBe(true)
  },
)

test('opening into a buffer refuses other content, another length and another key', () => {
  const plain = contents.text
  const blob = sealBlob({
    key,
    type: 'data',
    id: idOf(plain),
    plain,
    level: 2,
    random: systemRandom,
  })
  const into = Buffer.alloc(plain.length)
  const opened = (change: object) => () =>
    openBlobInto({ key, ...blob, ...change, sealed: Buffer.from(blob.sealed) }, into)
  expect(opened({})).not.toThrow()
  expect(opened({ id: idOf(contents.noise) })).toThrow(damaged)
  expect(opened({ uncompressedLength: plain.length + 1 })).toThrow(damaged)
  expect(opened({ uncompressedLength: 0 })).toThrow(RangeError)
  expect(opened({ key: { ...key, macR: randomBytes(16) } })).toThrow(damaged)
})
