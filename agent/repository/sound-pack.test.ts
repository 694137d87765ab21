import { beforeAll, expect, test } from 'vitest'
import { createMemoryStore } from '../storage/memory.ts'
import { type ObjectStore, StorageError } from '../storage/object-store.ts'
import { sealBlob } from './blob.ts'
import { idOf, systemRandom } from './id.ts'
import { randomMasterKey } from './key-file.ts'
import { objectKey } from './layout.ts'
import { createOpeningRooms } from './opening-room.ts'
import { OpenPack, type Pack } from './pack.ts'
import { isSoundPack } from './sound-pack.ts'

const MiB = 1024 * 1024
const key = randomMasterKey(systemRandom)
let pack: Pack
let bytes: Buffer

/** Longer than a few pieces, with blobs of every kind, two of them longer than ours ever are. */
beforeAll(() => {
  const open = new OpenPack('data')
  const plains = [
    ...Array.from({ length: 6 }, () => systemRandom(700_000)),
    Buffer.alloc(9 * MiB, 'longer than usual '),
    systemRandom(9 * MiB),
    Buffer.alloc(3 * MiB, 'text '),
    systemRandom(10),
  ]
  for (const plain of plains) {
    const level = plain.length === 9 * MiB && plain[0] !== 0x6c ? 0 : 2
    open.add(sealBlob({ key, type: 'data', id: idOf(plain), plain, level, random: systemRandom }))
  }
  pack = open.finish(key, systemRandom, false)
  bytes = Buffer.from(pack.bytes)
})

function look(stored: Buffer, change: Partial<ObjectStore> = {}) {
  const memory = createMemoryStore()
  memory.objects.set(objectKey('data', pack.id), stored)
  const store = { ...memory, ...change }
  return isSoundPack({ store, key, pack, size: bytes.length, rooms: createOpeningRooms(1) })
}

test('a pack of many pieces is sound, and with one bit changed anywhere it is not', async () => {
  expect(await look(bytes)).toBe(true)
  const places = pack.blobs.flatMap(({ offset, length }) => [offset, offset + length - 1])
  for (const at of [...places, bytes.length - 60, bytes.length - 3]) {
    const changed = Buffer.from(bytes)
    changed[at]! ^= 1
    expect(await look(changed), `byte ${at}`).toBe(false)
  }
}, 30_000)

test('a pack that is shorter, or gone, is not sound; a store that does not answer says nothing', async () => {
  expect(await look(bytes.subarray(0, -1))).toBe(false)
  const failing = (code: 'absent' | 'unreachable') => ({
    get: () => Promise.reject(new StorageError(code, 'pack')),
  })
  expect(await look(bytes, failing('absent'))).toBe(false)
  await expect(look(bytes, failing('unreachable'))).rejects.toThrow('pack')
})

test('asks for some megabytes at a time, and for no byte twice', async () => {
  const memory = createMemoryStore()
  memory.objects.set(objectKey('data', pack.id), bytes)
  const asked: { offset: number; length: number }[] = []
  const get: ObjectStore['get'] = (name, range) => {
    asked.push(range!)
    return memory.get(name, range)
  }
  expect(await look(bytes, { get })).toBe(true)
  let end = 0
  for (const { offset, length } of asked) {
    expect(offset).toBe(end)
    end += length
  }
  expect(end).toBe(bytes.length)
  const longest = Math.max(...pack.blobs.map(({ length }) => length))
  for (const { length } of asked) expect(length).toBeLessThan(longest + 2 * MiB)
})
