import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { PackedBlob } from './blob.ts'
import { RepositoryError } from './errors.ts'
import { idOf, systemRandom } from './id.ts'
import { BlobIndex } from './index.ts'
import { decodeIndex, encodeIndex, type IndexedPack } from './index-file.ts'
import { scanIndex } from './index-scan.ts'
import { addIndexFile } from './load-index.ts'

const runs = { numRuns: process.env.HOLDFAST_TEST_ALL ? 30_000 : 1500 }
const file = idOf(Buffer.from('file'))

const someId = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((b) => Buffer.from(b).toString('hex'))
const someBlob: fc.Arbitrary<PackedBlob> = fc.record({
  id: someId,
  type: fc.constantFrom('data', 'tree'),
  offset: fc.nat(2 ** 31),
  length: fc.integer({ min: 32, max: 2 ** 30 }),
  uncompressedLength: fc.oneof(fc.constant(0), fc.nat(2 ** 30)),
})
const somePacks: fc.Arbitrary<IndexedPack[]> = fc.array(
  fc.record({ id: someId, blobs: fc.array(someBlob, { maxLength: 4 }) }),
  { maxLength: 4 },
)

/** What an index knows after this text, by the scanner where it can, or by the JSON parser alone. */
function known(json: Buffer, how: 'scan' | 'parse'): unknown {
  const index = new BlobIndex()
  try {
    if (how === 'scan') addIndexFile(index, file, json)
    else index.addFile(file, decodeIndex(json))
  } catch (error) {
    if (!(error instanceof RepositoryError)) throw error
    expect(index.size).toBe(0)
    return error.message
  }
  return [...index.listings()]
}

describe('an index file scanned', () => {
  test('gives what its JSON says, for every text that we write', () => {
    fc.assert(
      fc.property(somePacks, (packs) => {
        const json = encodeIndex(packs)
        expect(scanIndex(json)).toBeDefined()
        expect(known(Buffer.from(json), 'scan')).toEqual(known(json, 'parse'))
      }),
      { numRuns: 300 },
    )
  })

  test('is never taken for another than its JSON says, whatever was changed in it', () => {
    const change = fc.tuple(fc.nat(), fc.constantFrom(...'0123456789"{}[],:. -\n\\aAzZ'), fc.nat(2))
    const property = fc.property(
      somePacks,
      fc.array(change, { maxLength: 3 }),
      (packs, changes) => {
        let json = encodeIndex(packs)
        for (const [where, byte, how] of changes) {
          const at = where % json.length
          const after = json.subarray(how === 1 ? at : at + 1)
          const middle = how === 2 ? Buffer.alloc(0) : Buffer.from(byte)
          json = Buffer.concat([json.subarray(0, at), middle, after])
        }
        expect(known(Buffer.from(json), 'scan')).toEqual(known(json, 'parse'))
      },
    )
    fc.assert(property, runs)
  })

  test('may carry a list of files that it supersedes, as those of restic 0.14 do after a prune', () => {
    const packs = [{ id: file, blobs: [] }]
    const tail = encodeIndex(packs).subarray(1)
    for (const ids of [`"${file}"`, `"${file}","${file.toUpperCase()}"`]) {
      const json = Buffer.concat([Buffer.from(`{"supersedes":[${ids}],`), tail])
      expect(scanIndex(json)?.counts.length).toBe(1)
      expect(known(Buffer.from(json), 'scan')).toEqual(known(json, 'parse'))
    }
  })

  test('is left to the JSON parser where it is unusual', () => {
    const blob = (more: string) =>
      `{"packs":[{"id":"${file}","blobs":[{"id":"${file}","type":"data","offset":0,"length":99${more}}]}]}`
    expect(scanIndex(Buffer.from(blob('')))).toBeDefined()
    const unusual = [
      blob(',"new":1'),
      blob(' '),
      ` ${blob('')}`,
      `${blob('')}x`,
      blob('').replace('99', '099'),
      blob('').replace('99', '9e1'),
      blob('').replace('99', '99.0'),
      blob('').replace('99', '4294967296'),
      blob('').replace('99', '31'),
      blob('').replace('"offset":0', '"offset":4294967295'),
      blob('').replace(`"id":"${file}",`, ''),
      blob('').replace('a', 'g'),
      '{"packs":null}',
      '{}',
      '',
    ]
    for (const json of unusual) expect(scanIndex(Buffer.from(json)), json).toBeUndefined()
    for (let cut = 0; cut < blob('').length; cut++) {
      expect(scanIndex(Buffer.from(blob('').slice(0, cut)))).toBeUndefined()
    }
  })

  test('is read from a part of a larger buffer, and never beyond it', () => {
    const json = encodeIndex([{ id: file, blobs: [] }])
    const around = Buffer.concat([Buffer.from('{"pa'), json, Buffer.from('0123456789')])
    expect(scanIndex(around.subarray(4, 4 + json.length))?.counts.length).toBe(1)
    expect(scanIndex(around.subarray(4, 4 + json.length - 2))).toBeUndefined()
  })
})

test('rows that do not fit into one segment are found all the same', () => {
  const index = new BlobIndex()
  const ids = Array.from({ length: 40 }, () => systemRandom(32 * 5000))
  for (const [f, bytes] of ids.entries()) {
    const blobs = Array.from({ length: 5000 }, (_, i): PackedBlob => {
      const id = bytes.toString('hex', i * 32, i * 32 + 32)
      return {
        id,
        type: i % 2 ? 'tree' : 'data',
        offset: i * 40,
        length: 40,
        uncompressedLength: f,
      }
    })
    const pack = idOf(Buffer.from(`pack ${f}`))
    addIndexFile(index, idOf(Buffer.from(`file ${f}`)), encodeIndex([{ id: pack, blobs }]))
  }
  expect(index.size).toBe(200_000)
  for (const [f, bytes] of ids.entries()) {
    for (let i = 0; i < 5000; i += 7) {
      const [type, other] = i % 2 ? (['tree', 'data'] as const) : (['data', 'tree'] as const)
      const id = bytes.toString('hex', i * 32, i * 32 + 32)
      const pack = idOf(Buffer.from(`pack ${f}`))
      const place = { id, type, offset: i * 40, length: 40, uncompressedLength: f, pack }
      expect(index.find(type, id)).toEqual(place)
      expect(index.hasBytes(type, bytes, i * 32)).toBe(true)
      expect(index.hasBytes(other, bytes, i * 32)).toBe(false)
    }
  }
  expect(() => index.hasBytes('data', Buffer.alloc(40), 9)).toThrow('32 bytes')
})
