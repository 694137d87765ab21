import { expect, test } from 'vitest'
import { longContent, openBlobBeside } from './background-open.ts'
import { sealBlob } from './blob.ts'
import { idOf, systemRandom } from './id.ts'
import { randomMasterKey } from './key-file.ts'

const key = randomMasterKey(systemRandom)

function sealed(plain: Buffer, level: number) {
  const id = idOf(plain)
  return { key, ...sealBlob({ key, type: 'data', id, plain, level, random: systemRandom }) }
}

/** Half noise, half zeros: it shrinks, and not to nothing. */
function content(length: number): Buffer {
  return Buffer.concat([systemRandom(length / 2), Buffer.alloc(length / 2)])
}

test('blobs of all lengths, many at a time, open to what was sealed', async () => {
  const lengths = [2, 1_000, longContent - 2, longContent, 1_000_000, 3_000_000, 200_000, 700_000]
  const opened = [0, 2].flatMap((level) =>
    lengths.map(async (length) => {
      const plain = content(length)
      const into = Buffer.alloc(length)
      await openBlobBeside(sealed(plain, level), into)
      return into.equals(plain)
    }),
  )
  expect(await Promise.all(opened)).toEqual(opened.map(() => true))
})

test.each([
  ['stored plain', 0],
  ['compressed', 2],
])('a long blob, %s, that is not what its entry says is damaged', async (_, level) => {
  const plain = content(400_000)
  const into = Buffer.alloc(plain.length)
  const flipped = sealed(plain, level)
  flipped.sealed[1_000]! ^= 1
  await expect(openBlobBeside(flipped, into)).rejects.toMatchObject({ code: 'damaged' })

  const other = { ...sealed(plain, level), id: idOf(Buffer.from('another')) }
  await expect(openBlobBeside(other, into)).rejects.toMatchObject({ code: 'damaged' })
})

test('a frame that is longer or shorter than listed, or none at all, is damaged', async () => {
  const plain = content(400_000)
  for (const length of [300_000, 500_000]) {
    const blob = { ...sealed(plain, 2), uncompressedLength: length }
    await expect(openBlobBeside(blob, Buffer.alloc(length))).rejects.toMatchObject({
      code: 'damaged',
    })
  }
  const noise = { ...sealed(systemRandom(400_000), 0), uncompressedLength: 400_001 }
  await expect(openBlobBeside(noise, Buffer.alloc(400_001))).rejects.toMatchObject({
    code: 'damaged',
  })
})
