import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { scratchRepository } from '../../test/support/scratch-repository.ts'
import { openCache, type RepositoryCache } from '../repository/cache.ts'
import { RepositoryError } from '../repository/errors.ts'
import { systemRandom } from '../repository/id.ts'
import type { BlobIndex } from '../repository/index.ts'
import type { RepositoryReader } from '../repository/reader.ts'
import type { Repository } from '../repository/repository.ts'
import { StorageError } from '../storage/object-store.ts'
import { createParentTrees } from './parent-trees.ts'

let directory: string
let cache: RepositoryCache
let repository: Repository
let index: BlobIndex
/** Ids of trees in the order in which they lie in their pack, and their bytes. */
const trees = new Map<string, Buffer>()
/** What the store was asked for. */
let asked: string[]
/** What asking it leads to. */
let answer: (id: string) => Buffer

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-parent-'))
  cache = await openCache(directory, systemRandom)
  asked = []
  answer = (id) => trees.get(id)!
  const scratch = scratchRepository()
  repository = scratch.repository
  index = scratch.index
  const writer = scratch.writer({ onPack: ({ id, bytes }) => cache.add('packs', id, bytes) })
  for (let i = 0; i < 300; i++) {
    const text = systemRandom(i === 7 ? 700_000 : 5_000)
    trees.set((await writer.saveBlob('tree', text)).id, text)
  }
  await writer.flush()
})
afterEach(() => {
  trees.clear()
  rmSync(directory, { recursive: true })
})

function load() {
  const loadBlob = async (_type: string, id: string) => {
    asked.push(id)
    return answer(id)
  }
  const reader = { loadBlob } as unknown as RepositoryReader
  return createParentTrees({ repository, index, cache, reader })
}

function packs(): string[] {
  return readdirSync(join(directory, 'packs')).map((name) => join(directory, 'packs', name))
}

test('trees that are kept come at once, whatever the order, and nobody is asked', () => {
  const loadTree = load()
  const ids = [...trees.keys()]
  for (const id of [...ids, ...ids.toReversed(), ids[299]!, ids[0]!, ids[7]!]) {
    const text = loadTree(id)
    expect(Buffer.isBuffer(text) && text.equals(trees.get(id)!)).toBe(true)
  }
  expect(asked).toEqual([])
})

test('what is not kept any more is asked for', async () => {
  const loadTree = load()
  const [first] = trees.keys()
  for (const pack of packs()) rmSync(pack)
  expect(await loadTree(first!)).toEqual(trees.get(first!))
  expect(asked).toEqual([first])
})

test('what is damaged or cut short in the cache is asked for, the rest is not', async () => {
  const loadTree = load()
  const [pack] = packs()
  const bytes = readFileSync(pack!)
  bytes[100]! ^= 1
  rmSync(pack!)
  writeFileSync(pack!, bytes)
  truncateSync(pack!, 100_000)
  for (const [id, text] of trees) expect((await loadTree(id))!.equals(text)).toBe(true)
  expect(asked[0]).toBe([...trees.keys()][0])
  expect(asked.length).toBeGreaterThan(2)
  expect(asked.length).toBeLessThan(300)
})

test.each([
  ['damaged', () => new RepositoryError('damaged', 'x')],
  ['unknown', () => new RepositoryError('unknown-blob', 'x')],
  ['gone', () => new StorageError('absent', 'x')],
  ['refused', () => new StorageError('denied', 'x')],
])('a tree that is %s in the store too is none', async (_, failure) => {
  answer = () => {
    throw failure()
  }
  expect(await load()('0'.repeat(64))).toBeUndefined()
})

test('a store that does not answer is no tree that is gone', async () => {
  answer = () => {
    throw new StorageError('unreachable', 'x')
  }
  await expect(load()('0'.repeat(64))).rejects.toThrow(StorageError)
})
