import { describe, expect, test } from 'vitest'
import { fileNode, scratchRepository } from '../../test/support/scratch-repository.ts'
import { createMemoryStore, seededFaults } from '../storage/memory.ts'
import { withRetry } from '../storage/retry.ts'
import { check } from './check.ts'
import { idOf, systemRandom } from './id.ts'
import { BlobIndex } from './index.ts'
import { indexAge } from './index-file.ts'
import { objectKey } from './layout.ts'
import { loadIndex } from './load-index.ts'
import type { Pack } from './pack.ts'
import { packTarget } from './pack.ts'
import { createReader } from './reader.ts'

const MiB = 1024 * 1024

function* slices(data: Buffer, step: number): Generator<Buffer> {
  for (let at = 0; at < data.length; at += step) yield data.subarray(at, at + step)
}

async function collect(chunks: AsyncIterable<Buffer>): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return Buffer.concat(parts)
}

describe('the writer', () => {
  test('saves files and trees that a fresh index finds and reads back', async () => {
    const { store, repository, writer, snapshot } = scratchRepository()
    const data = Buffer.concat([systemRandom(20 * MiB), Buffer.alloc(3 * MiB), Buffer.from('tail')])
    const w = writer()
    const file = await w.saveFile(slices(data, 100_000))
    expect(file.size).toBe(BigInt(data.length))
    const tree = await w.saveTree([fileNode('a', file.content, file.size)])
    const { packs, indexFiles } = await w.flush()
    expect(indexFiles.length).toBe(1)
    expect(packs.length).toBeGreaterThanOrEqual(2)
    await snapshot(tree.id)

    const index = new BlobIndex()
    await loadIndex({
      repository,
      index,
      live: indexFiles,
      read: (id) => store.get(objectKey('index', id)),
    })
    expect(new Set(index.packs())).toEqual(new Set(packs))
    const reader = createReader({ store, repository, index })
    const [node] = await reader.loadTree(tree.id)
    expect((await collect(reader.loadFile(node!.content!))).equals(data)).toBe(true)
    expect(await check({ store, repository, readData: true })).toMatchObject({ ok: true, hints: 0 })
  })

  test('stores nothing that is known: from an index, from this run, or twice in one file', async () => {
    const { store, writer } = scratchRepository()
    const data = Buffer.alloc(4 * MiB)
    const w = writer()
    const first = await w.saveFile([data])
    expect(first.content.length).toBe(8)
    expect(first.added).toMatchObject({ blobs: 1, bytes: 512 * 1024 })
    expect((await w.saveFile([data])).added.blobs).toBe(0)
    await w.flush()
    const before = store.objects.size
    const again = writer()
    expect((await again.saveFile([data])).content).toEqual(first.content)
    expect(await again.flush()).toEqual({ packs: [], indexFiles: [] })
    expect(store.objects.size).toBe(before)
  })

  test('counts what it stored, also the blob that fills a pack and leaves with it', async () => {
    const { store, writer } = scratchRepository()
    const w = writer()
    const { added } = await w.saveFile([systemRandom(40 * MiB)])
    await w.flush()
    let stored = 0
    for await (const { bytes } of store.list('data/')) stored += bytes
    // What is left are the headers of the packs: 41 bytes a blob, 36 and less than 100 a pack.
    expect(stored - added.packedBytes).toBeGreaterThan(0)
    expect(stored - added.packedBytes).toBeLessThan(added.blobs * 41 + 5 * 136)
  })

  test('an empty file has no chunks and stores nothing', async () => {
    const { writer } = scratchRepository()
    const w = writer()
    expect(await w.saveFile([])).toMatchObject({ content: [], size: 0n, added: { blobs: 0 } })
    expect(await w.flush()).toEqual({ packs: [], indexFiles: [] })
  })

  test('lets a reader fill the same buffer again and again', async () => {
    const { store, repository, index, writer } = scratchRepository()
    const data = systemRandom(5 * MiB + 17)
    const buffer = Buffer.alloc(70_000)
    async function* reads() {
      for (const slice of slices(data, buffer.length)) {
        buffer.set(slice)
        yield buffer.subarray(0, slice.length)
        buffer.fill(0xee)
      }
    }
    const w = writer()
    const { content } = await w.saveFile(reads())
    await w.flush()
    const reader = createReader({ store, repository, index })
    expect((await collect(reader.loadFile(content))).equals(data)).toBe(true)
  })

  test('lets others have their turn while it works through content that is known', async () => {
    const { writer } = scratchRepository()
    const w = writer()
    const zeros = Buffer.alloc(MiB)
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    await w.saveFile(Array(200).fill(zeros))
    clearInterval(timer)
    expect(turns).toBeGreaterThan(5)
  })

  test('saves many files at once without mixing them up', async () => {
    const { store, repository, index, writer } = scratchRepository()
    const files = Array.from({ length: 12 }, () =>
      systemRandom(1 + (systemRandom(3).readUIntLE(0, 3) >> 2)),
    )
    const w = writer()
    async function* slowly(data: Buffer) {
      for (const slice of slices(data, 50_000)) {
        await new Promise(setImmediate)
        yield slice
      }
    }
    const saved = await Promise.all(files.map((data) => w.saveFile(slowly(data))))
    await w.flush()
    const reader = createReader({ store, repository, index })
    for (const [i, { content, size }] of saved.entries()) {
      expect(size).toBe(BigInt(files[i]!.length))
      expect((await collect(reader.loadFile(content))).equals(files[i]!)).toBe(true)
    }
  })

  test('a reader that fails breaks its own file only', async () => {
    const { writer } = scratchRepository()
    const w = writer()
    async function* broken() {
      yield systemRandom(MiB)
      throw new Error('EIO')
    }
    await expect(w.saveFile(broken())).rejects.toThrow('EIO')
    const { content } = await w.saveFile([Buffer.from('fine')])
    expect(content).toEqual([idOf(Buffer.from('fine'))])
    await w.flush()
  })

  test('stores no index file before its packs, and no more packs at a time than it may', async () => {
    const { writer } = scratchRepository()
    const stored = new Set<string>()
    let atOnce = 0
    let most = 0
    let listed = 0
    const w = writer({
      uploads: 2,
      compressionLevel: 0,
      onPack: async ({ id, bytes, md5 }) => {
        most = Math.max(most, ++atOnce)
        expect(bytes.length).toBeLessThan(packTarget + 9 * MiB)
        expect(md5).toBeUndefined()
        await new Promise((resolve) => setTimeout(resolve, 200)) // slower than packs are made
        atOnce--
        stored.add(id)
      },
      onIndex: async ({ packs }) => {
        for (const id of packs) expect(stored.has(id)).toBe(true)
        listed += packs.length
      },
    })
    for (let i = 0; i < 12; i++) await w.saveFile([systemRandom(10 * MiB)])
    const { packs } = await w.flush()
    expect(most).toBe(2)
    expect(packs.length).toBe(stored.size)
    expect(listed).toBe(stored.size)
  })

  test('data and trees never share a pack, and packs have an MD5 where it was asked for', async () => {
    const { writer } = scratchRepository()
    const seen: Pack[] = []
    const w = writer({
      md5: true,
      onPack: async (pack) => void seen.push(pack),
      onIndex: async () => {},
    })
    await w.saveBlob('data', Buffer.from('x'))
    await w.saveTree([])
    await w.flush()
    expect(seen.map((pack) => [pack.type, pack.blobs.map((blob) => blob.type)])).toEqual([
      ['data', ['data']],
      ['tree', ['tree']],
    ])
    for (const pack of seen) expect(pack.md5).toMatch(/^[0-9a-f]{32}$/)
  })

  test('writes an index file when packs have waited for ten minutes', async () => {
    const { writer } = scratchRepository()
    let now = 0
    let files = 0
    const onIndex = async () => void files++
    const w = writer({ clock: { now: () => now }, compressionLevel: 0, onIndex })
    await w.saveFile([systemRandom(40 * MiB)])
    now = indexAge
    await w.saveFile([systemRandom(40 * MiB)])
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(files).toBe(1)
    await w.flush()
    expect(files).toBe(2)
  })

  test('writes an index file as soon as 50,000 blobs wait for one', async () => {
    const { writer } = scratchRepository()
    const files: number[] = []
    const w = writer({ onIndex: async ({ packs }) => void files.push(packs.length) })
    const pack = (n: number) => {
      const id = n.toString(16).padStart(64, '0')
      const blob = { id, type: 'data', offset: 0, length: 99, uncompressedLength: 0 } as const
      return { id, blobs: Array(10_000).fill(blob) }
    }
    for (let n = 0; n < 7; n++) w.adoptPack(pack(n))
    await w.flush()
    expect(files).toEqual([5, 2])
  })

  test('adopts what a killed run stored: its blobs are known, and its packs indexed next', async () => {
    const { store, repository, index, writer } = scratchRepository()
    const packs: Pack[] = []
    const killed = writer({
      onPack: async (pack) => void packs.push({ ...pack, bytes: Buffer.from(pack.bytes) }),
      onIndex: () => Promise.reject(),
    })
    const data = systemRandom(3 * MiB)
    await killed.saveFile([data])
    await killed.flush().catch(() => {})
    for (const { id, bytes } of packs) await store.put(objectKey('data', id), id, bytes)

    const fresh = new BlobIndex()
    const w = writer({ index: fresh })
    for (const { id, blobs } of packs) w.adoptPack({ id, blobs })
    expect((await w.saveFile([data])).added.blobs).toBe(0)
    expect((await w.flush()).indexFiles.length).toBe(1)
    expect(await check({ store, repository, readData: true })).toMatchObject({ ok: true, hints: 0 })
    expect(index.size).toBeGreaterThan(0)
  })
})

describe('a writer whose store fails', () => {
  test('is broken from then on, and says what broke it', async () => {
    const { writer, store } = scratchRepository()
    const w = writer({ onPack: () => Promise.reject(new Error('disk on fire')) })
    await w.saveBlob('data', Buffer.from('x'))
    const first = await w.flush().catch((error) => error)
    expect(first).toMatchObject({ code: 'writer-broken', cause: { message: 'disk on fire' } })
    for (const call of [
      () => w.saveBlob('data', Buffer.from('y')),
      () => w.saveTree([]),
      () => w.flush(),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'writer-broken' })
    }
    expect(store.objects.size).toBe(0)
  })

  test('leaves nothing that an index file refers to in vain', async () => {
    const { writer, store } = scratchRepository()
    const w = writer({ onIndex: () => Promise.reject(new Error('refused')) })
    await w.saveBlob('data', Buffer.from('x'))
    await expect(w.flush()).rejects.toMatchObject({ cause: { message: 'refused' } })
    expect([...store.objects.keys()].every((key) => key.startsWith('data/'))).toBe(true)
  })

  test('survives every kind of passing fault behind the retrying store', async () => {
    for (let seed = 1; seed <= 12; seed++) {
      let state = seed
      const random = () => {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0
        return state / 2 ** 32
      }
      const faulty = createMemoryStore({ faults: seededFaults(random, 0.4) })
      const through = withRetry(faulty, { sleep: async () => {}, random, now: () => 0 })
      const { repository, writer, index } = scratchRepository(faulty)
      const w = writer({ through })
      const data = systemRandom(2 * MiB)
      const { content, size } = await w.saveFile([data])
      await w.saveTree([fileNode('a', content, size)])
      await w.flush()
      const reader = createReader({ store: through, repository, index })
      expect((await collect(reader.loadFile(content))).equals(data)).toBe(true)
      expect(await check({ store: through, repository, readData: true })).toMatchObject({
        ok: true,
        hints: 0,
      })
    }
  })
})
