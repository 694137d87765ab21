import { describe, expect, it } from 'vitest'
import {
  directoryNode,
  fileNode,
  type ScratchRepository,
  scratchRepository,
} from '../../test/support/scratch-repository.ts'
import { createSeeded, type Seeded } from '../../test/support/seeded.ts'
import { createMemoryStore } from '../storage/memory.ts'
import { check } from './check.ts'
import { type Id, systemRandom } from './id.ts'
import { BlobIndex } from './index.ts'
import { idOfKey, type ObjectKind, objectKey, prefixOf } from './layout.ts'
import { loadIndex } from './load-index.ts'
import { type Prune, type PruneResult, preparePrune } from './prune.ts'
import type { PruneLimits } from './prune-plan.ts'
import { createReader } from './reader.ts'
import { decodeSnapshot } from './snapshot.ts'
import type { TreeNode } from './tree.ts'
import { openUnpacked } from './unpacked.ts'

const everything: PruneLimits = { maxRepackBytes: 2 ** 40, maxUnusedPercent: 0 }

/** A repository in memory whose prunes are carried to their end, as a control plane would. */
function createWorld(seed: string) {
  const seeded = createSeeded(seed)
  const scratch = scratchRepository(createMemoryStore({ mayRemove: () => true }))
  const { store, repository } = scratch
  const files = new Map<Id, Map<string, Buffer>>()

  async function sizesOf(kind: ObjectKind): Promise<Map<Id, number>> {
    const sizes = new Map<Id, number>()
    for await (const { key, bytes } of store.list(prefixOf(kind))) sizes.set(idOfKey(key)!, bytes)
    return sizes
  }
  async function load(): Promise<BlobIndex> {
    const index = new BlobIndex()
    const live = (await sizesOf('index')).keys()
    await loadIndex({ repository, index, live, read: (id) => store.get(objectKey('index', id)) })
    return index
  }
  const fresh = (): ScratchRepository => ({ ...scratch })

  /** A snapshot of files by name, each of one chunk, the second half of them in a directory of their own. */
  async function backup(content: Map<string, Buffer>): Promise<Id> {
    const index = await load()
    const writer = fresh().writer({ index })
    const nodes: TreeNode[] = []
    for (const [name, bytes] of [...content].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const { id } = await writer.saveBlob('data', bytes)
      nodes.push(fileNode(name, [id], bytes.length))
    }
    const half = nodes.splice(nodes.length >> 1)
    const { id: subtree } = await writer.saveTree(half)
    const { id: tree } = await writer.saveTree([...nodes, directoryNode('~', subtree)])
    await writer.flush()
    const snapshot = await scratch.snapshot(tree)
    files.set(snapshot, new Map(content))
    return snapshot
  }

  async function forget(snapshot: Id): Promise<void> {
    await store.remove(objectKey('snapshots', snapshot))
    files.delete(snapshot)
  }

  async function roots(): Promise<Id[]> {
    const ids = [...(await sizesOf('snapshots')).keys()]
    return Promise.all(
      ids.map(async (id) => {
        const bytes = await store.get(objectKey('snapshots', id))
        return decodeSnapshot(openUnpacked(repository.masterKey, id, bytes)).tree
      }),
    )
  }

  async function prepare(limits = everything): Promise<Prune> {
    const index = await load()
    return preparePrune({
      repository,
      index,
      indexSizes: await sizesOf('index'),
      packs: await sizesOf('data'),
      roots: await roots(),
      reader: createReader({ store, repository, index }),
      read: (pack, range) => store.get(objectKey('data', pack), range),
      random: systemRandom,
      clock: { now: () => 0 },
      onPack: ({ id, bytes }) => store.put(objectKey('data', id), id, bytes),
      onIndex: ({ id, bytes }) => store.put(objectKey('index', id), id, bytes),
      limits,
      signal: new AbortController().signal,
    })
  }

  /** To the very end: packs are deleted at once. */
  async function prune(limits = everything): Promise<Prune & PruneResult> {
    const prepared = await prepare(limits)
    const result = await prepared.carryOut(() => true)
    for (const id of result.replacedIndexes) await store.remove(objectKey('index', id))
    await judge()
    for (const { id } of result.condemned) await store.remove(objectKey('data', id))
    await judge()
    return { ...prepared, ...result }
  }

  /** Sound by our own check, and every snapshot comes back byte for byte. */
  async function judge(): Promise<void> {
    const report = await check({ store, repository, readData: true })
    const errors = report.problems.filter(({ severity }) => severity === 'error')
    expect(errors).toEqual([])
    const reader = createReader({ store, repository, index: await load() })
    for (const [snapshot, content] of files) {
      const bytes = await store.get(objectKey('snapshots', snapshot))
      const { tree } = decodeSnapshot(openUnpacked(repository.masterKey, snapshot, bytes))
      const top = await reader.loadTree(tree)
      const below = await reader.loadTree(top.at(-1)!.subtree!)
      const found = [...top.slice(0, -1), ...below]
      expect(found.map(({ name }) => name.toString())).toEqual([...content.keys()].sort())
      for (const { name, content: chunks } of found) {
        const plain = await reader.loadBlob('data', chunks![0]!)
        expect(plain.equals(content.get(name.toString())!)).toBe(true)
      }
    }
  }

  return { ...scratch, seeded, sizesOf, load, backup, forget, prepare, prune, judge, files }
}

function someFiles(seeded: Seeded, names: string, bytes = 20_000): Map<string, Buffer> {
  return new Map([...names].map((name) => [name, seeded.bytes(bytes)]))
}

describe('a prune', () => {
  it('gives up what nothing refers to, and nothing else', async () => {
    const world = createWorld('unreferenced')
    const first = await world.backup(someFiles(world.seeded, 'abc'))
    await world.backup(someFiles(world.seeded, 'def'))
    await world.forget(first)
    const { plan, condemned, replacedIndexes } = await world.prune()
    expect(plan.summary.unreferenced.packs).toBe(2)
    expect(condemned.map(({ heirs }) => heirs)).toEqual([[], []])
    expect(replacedIndexes).toHaveLength(1)
    expect((await world.sizesOf('index')).size).toBe(1)
  })

  it('finds nothing to do in what it left', async () => {
    const world = createWorld('idle')
    const first = await world.backup(someFiles(world.seeded, 'abcdef'))
    await world.backup(someFiles(world.seeded, 'def'))
    await world.forget(first)
    await world.prune()
    const { plan, condemned, replacedIndexes } = await world.prune()
    expect(condemned).toEqual([])
    expect(replacedIndexes).toEqual([])
    expect(plan.summary).toMatchObject({ unusedAfter: 0, repack: { packs: 0 } })
  })

  it('writes a partly used pack anew and names its heirs', async () => {
    const world = createWorld('partly')
    const content = someFiles(world.seeded, 'abcdef')
    const first = await world.backup(content)
    await world.backup(new Map([...content].slice(0, 2)))
    await world.forget(first)
    const before = await world.sizesOf('data')
    const { plan, condemned } = await world.prune()
    expect(plan.summary.repack.unused).toBeGreaterThan(4 * 20_000)
    const after = await world.sizesOf('data')
    const heirs = new Set(condemned.flatMap((pack) => pack.heirs))
    expect(heirs.size).toBeGreaterThan(0)
    for (const heir of heirs) expect(before.has(heir)).toBe(false)
    for (const heir of heirs) expect(after.has(heir)).toBe(true)
  })

  it('writes nothing anew below the share that is no trouble, nor beyond its budget', async () => {
    const world = createWorld('limits')
    const content = someFiles(world.seeded, 'abcdef')
    const first = await world.backup(content)
    await world.backup(new Map([...content].slice(0, 5)))
    await world.forget(first)
    const tolerant = await world.prepare({ maxRepackBytes: 2 ** 40, maxUnusedPercent: 50 })
    expect(tolerant.plan.repack).toEqual([])
    expect(tolerant.plan.summary.unusedAfter).toBeGreaterThan(20_000)
    const poor = await world.prepare({ maxRepackBytes: 50_000, maxUnusedPercent: 0 })
    expect(poor.plan.repack).toEqual([])
  })

  it('stops writing anew when it is told to, and gives up only what is done', async () => {
    const world = createWorld('time')
    for (let i = 0; i < 12; i++) await world.backup(someFiles(world.seeded, 'ab'))
    const prepared = await world.prepare()
    expect(prepared.plan.repack.length).toBe(24)
    const result = await prepared.carryOut((done) => done < 5)
    expect(result.condemned).toHaveLength(5)
    for (const id of result.replacedIndexes) await world.store.remove(objectKey('index', id))
    for (const { id } of result.condemned) await world.store.remove(objectKey('data', id))
    await world.judge()
  })

  it('merges many small packs and many small index files', async () => {
    const world = createWorld('small')
    for (let i = 0; i < 12; i++) await world.backup(someFiles(world.seeded, 'ab'))
    const { plan } = await world.prune()
    expect(plan.summary.repack.unused).toBe(0)
    expect((await world.sizesOf('data')).size).toBe(2)
    expect((await world.sizesOf('index')).size).toBe(1)
  })

  it('keeps one of two packs with the same blobs', async () => {
    const world = createWorld('twice')
    const content = someFiles(world.seeded, 'abc')
    // Two writers that knew nothing of each other.
    const index = new BlobIndex()
    const writer = world.writer({ index })
    for (const bytes of content.values()) await writer.saveBlob('data', bytes)
    await writer.flush()
    for (const id of (await world.sizesOf('index')).keys()) {
      const key = objectKey('index', id)
      const hidden = await world.store.get(key)
      await world.store.remove(key)
      await world.backup(content)
      await world.store.put(key, id, hidden)
    }
    const { plan, condemned } = await world.prune()
    expect(plan.summary.unreferenced.packs).toBe(1)
    expect(condemned[0]?.heirs).toHaveLength(1)
    expect((await world.sizesOf('data')).size).toBe(2)
  })

  it('refuses where a needed blob is only in a pack that is gone', async () => {
    const world = createWorld('gone')
    await world.backup(someFiles(world.seeded, 'abc'))
    const index = await world.load()
    const data = [...index.listings()].find(({ blobs }) => blobs[0]!.type === 'data')!
    await world.store.remove(objectKey('data', data.id))
    await expect(world.prepare()).rejects.toMatchObject({
      code: 'damaged',
      message: '3 blobs that snapshots need are only in packs that are missing or damaged',
    })
  })

  it('refuses where a tree cannot be read', async () => {
    const world = createWorld('tree')
    await world.backup(someFiles(world.seeded, 'abc'))
    const index = await world.load()
    const trees = [...index.listings()].find(({ blobs }) => blobs[0]!.type === 'tree')!
    const bytes = world.store.objects.get(objectKey('data', trees.id))!
    for (let at = 0; at < bytes.length; at += 50) bytes[at]! ^= 1
    await expect(world.prepare()).rejects.toMatchObject({ code: 'damaged' })
  })

  it('stops listing a pack that is gone and that nobody needs', async () => {
    const world = createWorld('gone and forgotten')
    const first = await world.backup(someFiles(world.seeded, 'abc'))
    await world.backup(someFiles(world.seeded, 'def'))
    const index = await world.load()
    const lost = [...index.listings()].find(({ blobs }) => blobs[0]!.type === 'data')!
    await world.forget(first)
    await world.store.remove(objectKey('data', lost.id))
    const { plan, condemned } = await world.prune()
    expect(plan.summary.missing.packs).toBe(1)
    expect(condemned.map(({ id }) => id)).not.toContain(lost.id)
  })

  it('lists a pack again that no index file lists and that a snapshot needs', async () => {
    const world = createWorld('rescue')
    const kept = someFiles(world.seeded, 'abc')
    await world.backup(kept)
    for (const id of (await world.sizesOf('index')).keys()) {
      await world.store.remove(objectKey('index', id))
    }
    await world.backup(someFiles(world.seeded, 'de'))
    const { rescued, condemned } = await world.prune()
    expect(rescued).toHaveLength(2)
    expect(condemned).toEqual([])
  })

  it('says how many blobs are nowhere', async () => {
    const world = createWorld('nowhere')
    await world.backup(someFiles(world.seeded, 'abc'))
    for (const id of (await world.sizesOf('index')).keys()) {
      await world.store.remove(objectKey('index', id))
    }
    for (const id of (await world.sizesOf('data')).keys()) {
      await world.store.remove(objectKey('data', id))
    }
    await expect(world.prepare()).rejects.toMatchObject({ code: 'unknown-blob' })
  })

  it('leaves a pack that it cannot read, and says so', async () => {
    const world = createWorld('damage')
    const content = someFiles(world.seeded, 'abcdef')
    const first = await world.backup(content)
    const kept = new Map([...content].slice(0, 2))
    await world.backup(kept)
    await world.forget(first)
    const index = await world.load()
    const data = [...index.listings()].find(
      ({ blobs }) => blobs.length > 3 && blobs[0]!.type === 'data',
    )!
    const key = objectKey('data', data.id)
    const whole = Buffer.from(world.store.objects.get(key)!)
    const bytes = world.store.objects.get(key)!
    for (let at = 0; at < bytes.length; at += 50) bytes[at]! ^= 1
    const prepared = await world.prepare()
    const result = await prepared.carryOut(() => true)
    expect(result.damaged).toBe(1)
    expect(result.condemned.map(({ id }) => id)).not.toContain(data.id)
    world.store.objects.set(key, whole)
    for (const id of result.replacedIndexes) await world.store.remove(objectKey('index', id))
    for (const { id } of result.condemned) await world.store.remove(objectKey('data', id))
    await world.judge()
  })

  it('carries a blob over from another pack where its own is damaged', async () => {
    const world = createWorld('two copies')
    const content = someFiles(world.seeded, 'abcdef')
    const first = await world.backup(content)
    const writer = world.writer({ index: new BlobIndex() })
    const { id } = await writer.saveBlob('data', content.get('a')!)
    await writer.flush()
    await world.backup(new Map([...content].slice(0, 2)))
    await world.forget(first)
    const index = await world.load()
    // The pack with the other blob that is needed would keep this one too.
    const keeper = [...index.listings()].find(({ blobs }) => blobs.length > 3)!
    const place = keeper.blobs.find((blob) => blob.id === id)!
    world.store.objects.get(objectKey('data', keeper.id))![place.offset + 100]! ^= 1
    const prepared = await world.prepare()
    const result = await prepared.carryOut(() => true)
    expect(result.damaged).toBe(0)
    for (const gone of result.replacedIndexes) await world.store.remove(objectKey('index', gone))
    for (const gone of result.condemned) await world.store.remove(objectKey('data', gone.id))
    await world.judge()
  })

  it('is sound whenever it is given up, and the next one finishes the work', async () => {
    for (let round = 0; round < 6; round++) {
      const world = createWorld(`broken off ${round}`)
      const snapshots: Id[] = []
      const content = someFiles(world.seeded, 'abcdefgh', 3_000)
      for (let i = 0; i < 8; i++) {
        for (const name of content.keys()) {
          if (world.seeded.oneIn(3)) content.set(name, world.seeded.bytes(3_000))
        }
        snapshots.push(await world.backup(content))
      }
      for (const snapshot of snapshots) {
        if (world.seeded.oneIn(2) && world.files.size > 1) await world.forget(snapshot)
      }
      const prepared = await world.prepare()
      let left = round
      const put = world.store.put
      world.store.put = async (...words) => {
        if (left-- <= 0) throw new Error('died')
        return put(...words)
      }
      await prepared.carryOut(() => true).catch(() => {})
      world.store.put = put
      await world.judge()
      await world.prune()
      const again = await world.prepare()
      expect(again.plan.summary).toMatchObject({
        unusedAfter: 0,
        unreferenced: { packs: 0 },
        repack: { packs: 0 },
      })
    }
  })
})
