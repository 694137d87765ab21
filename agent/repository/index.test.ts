import { describe, expect, test } from 'vitest'
import type { BlobType, PackedBlob } from './blob.ts'
import { idOf, systemRandom } from './id.ts'
import { BlobIndex } from './index.ts'
import { decodeIndex, encodeIndex, type IndexedPack } from './index-file.ts'
import { randomMasterKey } from './key-file.ts'
import { loadIndex } from './load-index.ts'
import type { Repository } from './repository.ts'
import { sealUnpacked } from './unpacked.ts'

const id = (n: number | string) => idOf(Buffer.from(`blob ${n}`))

function pack(name: string, blobs: number[], type: BlobType = 'data'): IndexedPack {
  return {
    id: idOf(Buffer.from(`pack ${name}`)),
    blobs: blobs.map(
      (n, i): PackedBlob => ({
        id: id(n),
        type,
        offset: i * 100,
        length: 100,
        uncompressedLength: n % 3,
      }),
    ),
  }
}

describe('the index', () => {
  test('finds each of many blobs, and none that was not added', () => {
    const index = new BlobIndex()
    const count = 150_000 // more than two segments and many doublings of the table
    for (let p = 0; p * 100 < count; p++) {
      index.addFile(id(`file ${p}`), [
        pack(
          `${p}`,
          Array.from({ length: 100 }, (_, i) => p * 100 + i),
        ),
      ])
    }
    expect(index.size).toBe(count)
    for (let n = 0; n < count; n += 37) {
      const place = index.find('data', id(n))
      expect(place).toEqual({
        id: id(n),
        type: 'data',
        pack: idOf(Buffer.from(`pack ${Math.floor(n / 100)}`)),
        offset: (n % 100) * 100,
        length: 100,
        uncompressedLength: n % 3,
      })
    }
    for (let n = count; n < count + 2000; n++) expect(index.has('data', id(n))).toBe(false)
  })

  test('keeps data and tree blobs of one id apart', () => {
    const index = new BlobIndex()
    index.addFile(id('f'), [pack('a', [1])])
    expect(index.has('data', id(1))).toBe(true)
    expect(index.has('tree', id(1))).toBe(false)
    index.addPack(pack('b', [1], 'tree'))
    expect(index.find('tree', id(1))?.pack).toBe(pack('b', []).id)
    expect(index.findAll('data', id(1)).length).toBe(1)
  })

  test('knows a blob in every pack that holds it', () => {
    const index = new BlobIndex()
    index.addFile(id('f'), [pack('a', [1, 2]), pack('b', [2, 3])])
    expect(new Set(index.findAll('data', id(2)).map((place) => place.pack))).toEqual(
      new Set([pack('a', []).id, pack('b', []).id]),
    )
  })

  test('forgets what only a vanished index file said, and keeps what another says too', () => {
    const index = new BlobIndex()
    index.addFile(id('f'), [pack('a', [1, 2])])
    index.addFile(id('g'), [pack('a', [1, 2]), pack('b', [3])])
    index.removeFile(id('f'))
    expect(index.has('data', id(1))).toBe(true)
    index.removeFile(id('g'))
    for (const n of [1, 2, 3]) expect(index.has('data', id(n))).toBe(false)
    expect([...index.packs()]).toEqual([])
    index.addFile(id('f'), [pack('a', [1, 2])])
    expect(index.has('data', id(1))).toBe(true)
  })

  test('a pack of this run belongs to the index file that adopts it', () => {
    const index = new BlobIndex()
    index.addPack(pack('a', [1]))
    index.addPack(pack('b', [2]))
    index.adopt(id('f'), [pack('a', []).id])
    index.removeFile(id('f'))
    expect(index.has('data', id(1))).toBe(false)
    expect(index.has('data', id(2))).toBe(true)
    expect([...index.listings()].map(({ id: p, file }) => [p, file])).toEqual([
      [pack('b', []).id, undefined],
    ])
  })

  test('refuses an id that is none', () => {
    const index = new BlobIndex()
    for (const bad of ['', 'ab', 'zz'.repeat(32)]) {
      expect(() => index.has('data', bad)).toThrow(
        expect.objectContaining({ code: 'invalid-input' }),
      )
    }
  })
})

describe('index files', () => {
  test('are the text that restic writes', () => {
    const packs = [pack('a', [3, 4])]
    expect(encodeIndex(packs).toString()).toBe(
      `{"packs":[{"id":"${packs[0]!.id}","blobs":[{"id":"${id(3)}","type":"data","offset":0,"length":100},` +
        `{"id":"${id(4)}","type":"data","offset":100,"length":100,"uncompressed_length":1}]}]}\n`,
    )
    expect(decodeIndex(encodeIndex(packs))).toEqual(packs)
    expect(encodeIndex([]).toString()).toBe('{"packs":[]}\n')
  })

  test('are read with upper-case ids, unknown fields, old supersedes lists and null packs', () => {
    const [one] = [pack('a', [3])]
    const text = encodeIndex([one!]).toString().replaceAll(one!.id, one!.id.toUpperCase())
    const loose = text.replace('{"packs"', `{"supersedes":["${id(1)}"],"new":{},"packs"`)
    expect(decodeIndex(Buffer.from(loose))).toEqual([one])
    expect(decodeIndex(Buffer.from('{"packs":null}'))).toEqual([])
  })

  test('are refused where they cannot be true', () => {
    const base = { id: id(1), type: 'data', offset: 0, length: 100 }
    const withBlob = (blob: object) => JSON.stringify({ packs: [{ id: id(0), blobs: [blob] }] })
    const bad = [
      '{"packs":[{"blobs":[]}]}',
      '{"packs":5}',
      '{"packs":[null]}',
      withBlob({ ...base, id: 'x' }),
      withBlob({ ...base, type: 'door' }),
      withBlob({ ...base, length: 31 }),
      withBlob({ ...base, offset: -1 }),
      withBlob({ ...base, offset: 2 ** 32 - 50 }),
      withBlob({ ...base, length: 1e300 }),
      withBlob({ ...base, uncompressed_length: 2 ** 31 }),
    ]
    for (const text of bad) {
      expect(() => decodeIndex(Buffer.from(text)), text).toThrow(
        expect.objectContaining({ name: 'RepositoryError' }),
      )
    }
  })
})

test('loading follows the live listing: gone files are dropped, new ones read once', async () => {
  const masterKey = randomMasterKey(systemRandom)
  const repository: Repository = { id: '', version: 2, masterKey, polynomial: 0n, keyId: undefined }
  const files = [pack('a', [1]), pack('b', [2]), pack('c', [3])].map((p) =>
    sealUnpacked(masterKey, encodeIndex([p]), systemRandom),
  )
  const byId = new Map(files.map((file) => [file.id, file.bytes]))
  const ids = files.map((file) => file.id)
  const asked: string[] = []
  const read = async (file: string) => {
    asked.push(file)
    return byId.get(file)!
  }
  const index = new BlobIndex()
  await loadIndex({ repository, index, live: ids.slice(0, 2), read })
  const { added, dropped } = await loadIndex({ repository, index, live: ids.slice(1), read })
  expect({ added, dropped }).toEqual({ added: [ids[2]], dropped: [ids[0]] })
  expect(asked).toEqual(ids)
  expect([1, 2, 3].map((n) => index.has('data', id(n)))).toEqual([false, true, true])

  byId.set(ids[0]!, files[1]!.bytes)
  await expect(loadIndex({ repository, index, live: ids, read })).rejects.toThrow('other content')
  const told: string[] = []
  const onDamaged = (file: string) => told.push(file)
  const loaded = await loadIndex({ repository, index: new BlobIndex(), live: ids, read, onDamaged })
  expect({ added: loaded.added, told }).toEqual({ added: ids.slice(1), told: ids.slice(0, 1) })
})

test('costs at most 64 bytes per blob, packs of a dozen blobs included', () => {
  const before = process.memoryUsage().arrayBuffers
  const index = new BlobIndex()
  const count = 12 * 65_536 // whole segments, and the table exactly three quarters full
  const blob: PackedBlob = { id: id(0), type: 'data', offset: 0, length: 99, uncompressedLength: 0 }
  const random = Buffer.from(systemRandom(32))
  for (let p = 0; p < count / 12; p++) {
    const blobs = Array.from({ length: 12 }, (_, i) => {
      random.writeUInt32LE(Math.imul(p * 12 + i, 0x9e3779b1) >>> 0)
      return { ...blob, id: random.toString('hex') }
    })
    index.addPack({ id: blobs[0]!.id, blobs })
  }
  // Outgrown tables that were not collected yet weigh what the next doubling will add: the bound holds for both.
  const perBlob = (process.memoryUsage().arrayBuffers - before) / count
  expect(perBlob).toBeLessThan(64)
})
