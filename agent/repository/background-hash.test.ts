import { expect, test } from 'vitest'
import { growingHash, idOfLong } from './background-hash.ts'
import { idOf, systemRandom } from './id.ts'

test('a hash that grows in pieces of all sizes is the hash of the whole', async () => {
  for (const lengths of [[0], [1], [63, 1, 64], [200_000, 5, 131_072, 0, 131_071], [3_000_000]]) {
    const pieces = lengths.map((length) => systemRandom(length))
    const hash = growingHash()
    for (const piece of pieces) await hash.update(piece)
    expect(hash.digest()).toBe(idOf(Buffer.concat(pieces)))
  }
})

test('many hashes at once do not mix', async () => {
  const all = Array.from({ length: 20 }, (_, i) => systemRandom(100_000 + i * 50_000))
  expect(await Promise.all(all.map(idOfLong))).toEqual(all.map(idOf))
})
