import { beforeEach, describe, expect, test } from 'vitest'
import {
  directoryNode,
  fileNode,
  type ScratchRepository,
  scratchRepository,
} from '../../test/support/scratch-repository.ts'
import { StorageError } from '../storage/object-store.ts'
import type { PackedBlob } from './blob.ts'
import { type CheckProgress, check } from './check.ts'
import { seal } from './cipher.ts'
import { idOf, systemRandom } from './id.ts'
import { decodeIndex, encodeIndex, type IndexedPack } from './index-file.ts'
import { OpenPack } from './pack.ts'
import { encodeHeader, readHeader } from './pack-header.ts'
import { openUnpacked, sealUnpacked } from './unpacked.ts'

const text = Buffer.from('compresses well '.repeat(2000))

let scratch: ScratchRepository
let dataPack: string
let treePack: string
let indexFile: string
let root: string
let inner: string

/** A repository of one snapshot: two files in a directory, one of them of two chunks. */
beforeEach(async () => {
  scratch = scratchRepository()
  const w = scratch.writer()
  const a = await w.saveFile([text])
  const b = await w.saveFile([Buffer.alloc(1024 * 1024)])
  inner = (await w.saveTree([fileNode('a', a.content, a.size), fileNode('b', b.content, b.size)]))
    .id
  root = (await w.saveTree([directoryNode('d', inner)])).id
  const { indexFiles } = await w.flush()
  indexFile = indexFiles[0]!
  await scratch.snapshot(root)
  dataPack = scratch.index.find('data', a.content[0]!)!.pack
  treePack = scratch.index.find('tree', root)!.pack
})

const keyOfPack = (id: string) => `data/${id.slice(0, 2)}/${id}`
const run = (readData = true) =>
  check({ store: scratch.store, repository: scratch.repository, readData })
const kinds = async (readData = true) => (await run(readData)).problems.map(({ kind }) => kind)

function spoil(key: string, at: number): void {
  const bytes = Buffer.from(scratch.store.objects.get(key)!)
  bytes[at]! ^= 0x40
  scratch.store.objects.set(key, bytes)
}

/** Replace the index by one that `change` made of its packs. */
function reindex(change: (packs: IndexedPack[]) => IndexedPack[]): void {
  const key = scratch.repository.masterKey
  const bytes = scratch.store.objects.get(`index/${indexFile}`)!
  const packs = change(decodeIndex(openUnpacked(key, indexFile, bytes)))
  scratch.store.objects.delete(`index/${indexFile}`)
  const made = sealUnpacked(key, encodeIndex(packs), systemRandom)
  scratch.store.objects.set(`index/${made.id}`, made.bytes)
}

async function snapshotOf(tree: Buffer): Promise<string> {
  const w = scratch.writer()
  const { id } = await w.saveBlob('tree', tree)
  await w.flush()
  await scratch.snapshot(id)
  return id
}

describe('a check', () => {
  test('of a sound repository finds nothing and counts everything', async () => {
    const seen: CheckProgress[] = []
    const { store, repository } = scratch
    const report = await check({
      store,
      repository,
      readData: true,
      onProgress: (p) => seen.push(p),
    })
    expect(report).toEqual({
      ok: true,
      problems: [],
      errors: 0,
      hints: 0,
      damagedPacks: [],
      harm: { entries: 0, snapshots: 0, named: [] },
      snapshots: 1,
      trees: 2,
      packs: 2,
      packsRead: 2,
      bytesRead:
        store.objects.get(keyOfPack(dataPack))!.length +
        store.objects.get(keyOfPack(treePack))!.length,
      blobs: 4,
      indexBytes: expect.any(Number),
    })
    expect(new Set(seen.map(({ phase }) => phase))).toEqual(
      new Set(['indexes', 'snapshots', 'trees', 'packs']),
    )
  })

  test('reads the packs it is asked to read and no others', async () => {
    const { store, repository } = scratch
    const report = await check({ store, repository, readData: { bytes: 1 }, random: systemRandom })
    expect(report.packsRead).toBe(1)
    expect((await run(false)).packsRead).toBe(0)
  })

  test('of an empty repository is content', async () => {
    scratch = scratchRepository()
    expect(await run()).toMatchObject({ ok: true, snapshots: 0, packs: 0 })
  })

  test('is stopped by its signal, and rejects when the store cannot be reached', async () => {
    const { store, repository } = scratch
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(check({ store, repository, signal })).rejects.toThrow('enough')
    const get = () => Promise.reject(new StorageError('unreachable', 'no route'))
    await expect(check({ store: { ...store, get }, repository })).rejects.toThrow('no route')
  })
})

describe('a check finds', () => {
  test('a pack that is missing', async () => {
    scratch.store.objects.delete(keyOfPack(dataPack))
    const report = await run(false)
    expect(report.problems).toEqual([
      { kind: 'pack-missing', severity: 'error', id: dataPack, detail: '' },
    ])
    expect(report.damagedPacks).toEqual([dataPack])
    expect(report.ok).toBe(false)
  })

  test('a pack that is cut short or too long', async () => {
    const bytes = scratch.store.objects.get(keyOfPack(dataPack))!
    scratch.store.objects.set(keyOfPack(dataPack), bytes.subarray(0, -1))
    // It is read even where no data was to be: nothing else tells which blobs suffered.
    const found = ['pack-size', 'pack-damaged', 'pack-damaged']
    expect(await kinds(false)).toEqual(found)
    scratch.store.objects.set(keyOfPack(dataPack), Buffer.concat([bytes, Buffer.of(0)]))
    expect(await kinds(false)).toEqual(found)
    expect((await run(false)).harm.entries).toBe(0)
  })

  test('a changed byte anywhere in a pack, and which blob it is in', async () => {
    const length = scratch.store.objects.get(keyOfPack(dataPack))!.length
    const first = scratch.index.findAll('data', idOf(text))[0]!
    for (let at = 0; at < length; at += 7) {
      spoil(keyOfPack(dataPack), at)
      const report = await run()
      expect(report.ok, `byte ${at}`).toBe(false)
      expect(report.damagedPacks).toEqual([dataPack])
      const damagedBlobs = report.problems.filter(({ kind }) => kind === 'blob-damaged')
      const inFirst = at >= first.offset && at < first.offset + first.length
      if (inFirst) expect(damagedBlobs.map(({ id }) => id)).toEqual([idOf(text)])
      spoil(keyOfPack(dataPack), at)
    }
    expect((await run()).ok).toBe(true)
  })

  test('a damaged tree even without reading all data', async () => {
    const { offset } = scratch.index.find('tree', inner)!
    spoil(keyOfPack(treePack), offset + 20)
    const report = await run(false)
    expect(report.problems).toMatchObject([{ kind: 'tree-damaged', id: inner }])
    expect(report.damagedPacks).toEqual([treePack])
  })

  test('an index file that does not open, and what is then missing', async () => {
    spoil(`index/${indexFile}`, 30)
    expect(await kinds(false)).toEqual([
      'index-damaged',
      'pack-unlisted',
      'pack-unlisted',
      'blob-missing',
    ])
  })

  test('a snapshot that does not open, and a key file under a wrong name', async () => {
    scratch.store.objects.set(`snapshots/${'ab'.repeat(32)}`, Buffer.from('x'))
    scratch.store.objects.set(`keys/${'ab'.repeat(32)}`, Buffer.from('x'))
    expect((await kinds(false)).sort()).toEqual(['key-damaged', 'snapshot-damaged'])
  })

  test('a listed length that is not the real one, though header and index agree: stock restic does not', async () => {
    const { masterKey } = scratch.repository
    const bytes = scratch.store.objects.get(keyOfPack(dataPack))!
    const lie = (blob: PackedBlob) =>
      blob.id === idOf(text) ? { ...blob, uncompressedLength: text.length + 1 } : blob
    const blobs = readHeader(masterKey, bytes).map(lie)
    const header = seal(masterKey, encodeHeader(blobs), systemRandom)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(header.length)
    const end = blobs.at(-1)!.offset + blobs.at(-1)!.length
    const forged = Buffer.concat([bytes.subarray(0, end), header, length])
    const id = idOf(forged)
    scratch.store.objects.delete(keyOfPack(dataPack))
    scratch.store.objects.set(keyOfPack(id), forged)
    reindex((packs) => packs.map((pack) => (pack.id === dataPack ? { id, blobs } : pack)))
    const report = await run()
    const found = report.problems.map(({ kind }) => kind)
    expect(found.sort()).toEqual(['blob-damaged', 'size-differs'])
    const blob = report.problems.find(({ kind }) => kind === 'blob-damaged')
    expect(blob?.detail).toContain(`has ${text.length} bytes, not ${text.length + 1}`)
  })

  test('a file whose size is not the sum of its chunks', async () => {
    const tree = JSON.stringify({
      nodes: [{ name: 'a', type: 'file', content: [idOf(text)], size: 5 }],
    })
    const id = await snapshotOf(Buffer.from(tree))
    expect((await run(false)).problems).toEqual([
      {
        kind: 'size-differs',
        severity: 'error',
        id,
        detail: `node 0: size 5, chunks ${text.length}`,
      },
    ])
  })

  test('names that lead elsewhere, duplicates, disorder, and nodes that lack what they need', async () => {
    const fifo = (name: string) => ({ name, type: 'fifo' })
    const nodes = [
      fifo('b'),
      fifo('a'),
      fifo('b'),
      fifo('..'),
      { name: 'f', type: 'file' },
      { name: 'g', type: 'dir' },
    ]
    await snapshotOf(Buffer.from(JSON.stringify({ nodes })))
    const report = await run(false)
    expect(report.problems.map(({ kind, detail }) => `${kind} ${detail}`)).toEqual([
      'unsorted node 1',
      'duplicate-name node 2',
      'illegal-name node 3',
      'unsorted node 3',
      'no-content node 4',
      'no-subtree node 5',
    ])
  })

  test('blobs that no index lists', async () => {
    const nodes = [
      { name: 'a', type: 'file', content: ['ab'.repeat(32)], size: 1 },
      { name: 'b', type: 'dir', subtree: 'cd'.repeat(32) },
    ]
    await snapshotOf(Buffer.from(JSON.stringify({ nodes })))
    const missing = (await run(false)).problems
    expect(missing.map(({ kind }) => kind)).toEqual(['blob-missing', 'blob-missing'])
    expect(new Set(missing.map(({ id }) => id))).toEqual(
      new Set(['ab'.repeat(32), 'cd'.repeat(32)]),
    )
  })

  test('a pack listed by two index files, as a hint; split over two, as an error', async () => {
    const { masterKey } = scratch.repository
    const extra = (packs: IndexedPack[]) => {
      const made = sealUnpacked(masterKey, encodeIndex(packs), systemRandom)
      scratch.store.objects.set(`index/${made.id}`, made.bytes)
      return `index/${made.id}`
    }
    const listed = [...scratch.index.listings()].find(({ id }) => id === dataPack)!
    const again = extra([{ id: dataPack, blobs: listed.blobs }])
    expect(await run()).toMatchObject({
      ok: true,
      hints: 1,
      problems: [{ kind: 'pack-listed-twice' }],
    })
    scratch.store.objects.delete(again)

    extra([{ id: dataPack, blobs: listed.blobs.slice(1) }])
    reindex((packs) =>
      packs.map((p) => (p.id === dataPack ? { ...p, blobs: p.blobs.slice(0, 1) } : p)),
    )
    expect(await kinds()).toEqual(['pack-split'])
  })

  test('a gap that an index leaves, and a header that disagrees with it', async () => {
    const moved = (blob: PackedBlob, i: number) =>
      i === 0 ? blob : { ...blob, offset: blob.offset + 1 }
    reindex((packs) =>
      packs.map((p) => (p.id === dataPack ? { ...p, blobs: p.blobs.map(moved) } : p)),
    )
    const found = await kinds()
    expect(found).toContain('blob-place')
    expect(found).toContain('pack-damaged')
  })

  test('a pack that no index file lists, as a hint', async () => {
    const w = scratch.writer({ onIndex: () => Promise.reject(new Error('killed')) })
    await w.saveBlob('data', Buffer.from('orphan'))
    await w.flush().catch(() => {})
    expect(await run()).toMatchObject({ ok: true, hints: 1, problems: [{ kind: 'pack-unlisted' }] })
  })

  test('data and trees in one pack, as a hint', async () => {
    const { masterKey } = scratch.repository
    const pack = new OpenPack('data')
    for (const type of ['data', 'tree'] as const) {
      const plain = Buffer.from(`{"nodes":[]} ${type}`)
      const sealed = seal(masterKey, plain, systemRandom)
      pack.add({ id: idOf(plain), type, sealed, uncompressedLength: 0 })
    }
    const { id, bytes, blobs } = pack.finish(masterKey, systemRandom, false)
    scratch.store.objects.set(keyOfPack(id), bytes)
    reindex((packs) => [...packs, { id, blobs }])
    expect(await run()).toMatchObject({ ok: true, problems: [{ kind: 'pack-mixed', id }] })
  })
})
