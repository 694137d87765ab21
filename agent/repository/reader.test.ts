import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  directoryNode,
  fileNode,
  type ScratchRepository,
  scratchRepository,
} from '../../test/support/scratch-repository.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { openCache, type RepositoryCache } from './cache.ts'
import { idOf, systemRandom } from './id.ts'
import { createReader } from './reader.ts'

const MiB = 1024 * 1024

/** A store that remembers which ranges were asked of it. */
function watched(store: ObjectStore): {
  store: ObjectStore
  asked: { key: string; length?: number }[]
} {
  const asked: { key: string; length?: number }[] = []
  const get: ObjectStore['get'] = (key, range) => {
    asked.push({ key, ...(range && { length: range.length }) })
    return store.get(key, range)
  }
  return { store: { ...store, get }, asked }
}

async function collect(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return Buffer.concat(parts)
}

describe('the reader', () => {
  let scratch: ScratchRepository
  const data = systemRandom(30 * MiB)
  let content: string[]
  let tree: string
  beforeAll(async () => {
    scratch = scratchRepository()
    const w = scratch.writer()
    content = (await w.saveFile([data])).content
    tree = (await w.saveTree([fileNode('a', content, data.length)])).id
    await w.flush()
  })

  test('fetches neighbours in a pack by one request, and never a whole pack for one blob', async () => {
    const { store, asked } = watched(scratch.store)
    const reader = createReader({ ...scratch, store })
    expect((await collect(reader.loadFile(content))).equals(data)).toBe(true)
    expect(asked.length).toBeLessThan(content.length)
    asked.length = 0
    const blob = await reader.loadBlob('data', content[0]!)
    expect(asked).toEqual([{ key: expect.stringMatching(/^data\//), length: blob.length + 32 }])
  })

  test('says which blob no index lists', async () => {
    const reader = createReader(scratch)
    const unknown = idOf(Buffer.from('never'))
    await expect(reader.loadBlob('data', unknown)).rejects.toMatchObject({ code: 'unknown-blob' })
    await expect(reader.loadBlob('tree', content[0]!)).rejects.toMatchObject({
      code: 'unknown-blob',
    })
    await expect(collect(reader.loadFile([content[0]!, unknown]))).rejects.toMatchObject({
      code: 'unknown-blob',
    })
  })

  test('refuses a damaged blob, and takes another copy where there is one', async () => {
    const { store, repository, index, writer } = scratchRepository()
    const plain = systemRandom(1000)
    const id = idOf(plain)
    const save = async () => {
      const w = writer({ index: scratchRepository().index })
      await w.saveBlob('data', plain)
      return (await w.flush()).packs[0]!
    }
    const first = await save()
    const second = await save()
    for (const pack of [first, second]) {
      index.addPack({
        id: pack,
        blobs: [{ id, type: 'data', offset: 0, length: 1032, uncompressedLength: 0 }],
      })
    }
    const reader = createReader({ store, repository, index })
    const spoil = (pack: string) => {
      store.objects.get(`data/${pack.slice(0, 2)}/${pack}`)![500]! ^= 1
    }
    spoil(first)
    expect((await reader.loadBlob('data', id)).equals(plain)).toBe(true)
    expect((await collect(reader.loadFile([id]))).equals(plain)).toBe(true)
    spoil(second)
    await expect(reader.loadBlob('data', id)).rejects.toMatchObject({ code: 'damaged' })
    await expect(collect(reader.loadFile([id]))).rejects.toMatchObject({ code: 'damaged' })
  })

  test('never hands out a tree that could lead out of its directory or touch an entry twice', async () => {
    const { writer, ...rest } = scratchRepository()
    const w = writer()
    const raw = (names: string[]) => {
      const nodes = names.map((name) => ({ name, type: 'fifo' }))
      return Buffer.from(JSON.stringify({ nodes }))
    }
    const cases = {
      '..': 'illegal-name',
      'a/b': 'illegal-name',
      '': 'illegal-name',
      '\\x00': 'illegal-name',
    }
    for (const [name, code] of Object.entries(cases)) {
      const { id } = await w.saveBlob('tree', raw([name]))
      await w.flush()
      await expect(createReader(rest).loadTree(id)).rejects.toMatchObject({ code })
    }
    const twice = await w.saveBlob('tree', raw(['a', 'b', 'a']))
    const unsorted = await w.saveBlob('tree', raw(['b', 'a']))
    await w.flush()
    const reader = createReader(rest)
    await expect(reader.loadTree(twice.id)).rejects.toMatchObject({ code: 'damaged' })
    const nodes = await reader.loadTree(unsorted.id)
    expect(nodes.map((node) => node.name.toString())).toEqual(['a', 'b'])
  })

  describe('with a cache', () => {
    let folder: string
    let cache: RepositoryCache
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'holdfast-cache-'))
      cache = await openCache(folder, systemRandom)
    })
    afterAll(() => rmSync(folder, { recursive: true }))

    test('reads trees from it, and from the store again once it is damaged', async () => {
      const pack = scratch.index.find('tree', tree)!.pack
      const bytes = await scratch.store.get(`data/${pack.slice(0, 2)}/${pack}`)
      await cache.add('packs', pack, bytes)
      const { store, asked } = watched(scratch.store)
      const reader = createReader({ ...scratch, store, cache })
      expect((await reader.loadTree(tree)).length).toBe(1)
      expect(asked).toEqual([])

      const spoiled = Buffer.from(bytes)
      spoiled[40]! ^= 1
      rmSync(join(folder, 'packs', pack))
      writeFileSync(join(folder, 'packs', pack), spoiled)
      expect((await reader.loadTree(tree)).length).toBe(1)
      expect(asked.length).toBe(1)
      writeFileSync(join(folder, 'packs', pack), spoiled.subarray(0, 10))
      expect((await reader.loadTree(tree)).length).toBe(1)
      expect(asked.length).toBe(2)
    })

    test('keeps whole objects only, checks them when they are read, and lists them by name', async () => {
      const bytes = Buffer.from('an index file')
      const id = idOf(bytes)
      expect(await cache.has('index', id)).toBe(false)
      expect(await cache.read('index', id)).toBeUndefined()
      await expect(cache.add('index', id, Buffer.from('other'))).rejects.toMatchObject({
        code: 'damaged',
      })
      await cache.add('index', id, bytes)
      await cache.add('index', id, bytes)
      expect(await cache.has('index', id)).toBe(true)
      expect((await cache.read('index', id))?.equals(bytes)).toBe(true)
      writeFileSync(join(folder, 'index', 'stray'), '')
      expect(await cache.knownIds('index')).toEqual(new Set([id]))
      expect(readdirSync(join(folder, 'index')).sort()).toEqual([id, 'stray'].sort())
      writeFileSync(join(folder, 'index', id), 'torn')
      expect(await cache.read('index', id)).toBeUndefined()
      await cache.add('index', id, bytes)
      expect((await cache.read('index', id))?.equals(bytes)).toBe(true)
    })

    test('refuses names that are no ids', async () => {
      await expect(cache.read('index', '../../etc/passwd')).rejects.toMatchObject({
        code: 'invalid-input',
      })
    })
  })
})

test('directories lead to their trees', async () => {
  const { writer, ...rest } = scratchRepository()
  const w = writer()
  const inner = await w.saveTree([fileNode('x', [], 0)])
  const outer = await w.saveTree([directoryNode('d', inner.id)])
  await w.flush()
  const reader = createReader(rest)
  const [d] = await reader.loadTree(outer.id)
  const [x] = await reader.loadTree(d!.subtree!)
  expect(x!.name.toString()).toBe('x')
})
