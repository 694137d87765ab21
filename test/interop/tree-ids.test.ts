import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemRandom } from '../../agent/repository/id.ts'
import { BlobIndex } from '../../agent/repository/index.ts'
import { idOfKey, objectKey } from '../../agent/repository/layout.ts'
import { loadIndex } from '../../agent/repository/load-index.ts'
import { createReader, type RepositoryReader } from '../../agent/repository/reader.ts'
import { openRepository, type Repository } from '../../agent/repository/repository.ts'
import { encodeTree } from '../../agent/repository/tree.ts'
import { createDirectoryStore } from '../../agent/storage/directory.ts'
import { createRestic, type Restic } from '../rig/restic.ts'
import { makeRandomTrees } from '../support/random-trees.ts'
import { createStockNodes } from './stock-node.ts'

/** Each is a small tree of its own, with further directories inside. */
const treeCount = 240

describe('trees of random directories', () => {
  let work: string
  let restic: Restic
  let repository: Repository
  let reader: RepositoryReader
  let index: BlobIndex
  let snapshotTree: string
  // Printed by a failing test, so that the same trees can be made again.
  const seed = systemRandom(8).toString('hex')

  beforeAll(async () => {
    work = mkdtempSync(join(tmpdir(), 'holdfast-trees-'))
    makeTree()
    const password = 'tree ids'
    restic = createRestic({
      repository: join(work, 'repository'),
      password,
      environment: { TZ: 'UTC' },
    })
    await restic.init()
    const snapshot = await restic.backup([join(work, 'source')])
    snapshotTree = (await restic.snapshots(snapshot))[0]!.tree

    const directory = join(work, 'repository')
    const store = createDirectoryStore({ directory, temporaryName: () => 'unused' })
    repository = await openRepository({ store, password })
    index = new BlobIndex()
    const live: string[] = []
    for await (const { key } of store.list('index/')) live.push(idOfKey(key)!)
    await loadIndex({ repository, index, live, read: (id) => store.get(objectKey('index', id)) })
    reader = createReader({ store, repository, index })
  })
  afterAll(() => {
    restic?.close()
    rmSync(work, { recursive: true, force: true })
  })

  function makeTree(): void {
    rmSync(join(work, 'source'), { recursive: true, force: true })
    mkdirSync(join(work, 'source'))
    makeRandomTrees(join(work, 'source'), treeCount, seed)
  }

  test(`have the ids that stock restic gave them, at least ${treeCount}`, async () => {
    const stock = createStockNodes(repository.polynomial)
    const different: string[] = []
    let compared = 0
    const ours = stock.treeOf(Buffer.from(join(work, 'source')), (id, bytes) => {
      compared++
      if (!index.has('tree', id)) different.push(bytes.toString())
    })
    expect(different, `seed ${seed}`).toEqual([])
    expect(compared).toBeGreaterThan(treeCount)
    expect(await treeAt(snapshotTree, join(work, 'source'))).toBe(ours)
  })

  test('are read from its repository and encoded again to the same bytes', async () => {
    let read = 0
    const visit = async (id: string) => {
      read++
      const stored = await reader.loadBlob('tree', id)
      const nodes = await reader.loadTree(id)
      expect(encodeTree(nodes).equals(stored), `seed ${seed}, tree ${id}`).toBe(true)
      for (const node of nodes) if (node.subtree !== undefined) await visit(node.subtree)
    }
    await visit(snapshotTree)
    expect(read).toBeGreaterThan(treeCount)
  })

  async function treeAt(root: string, path: string): Promise<string> {
    let id = root
    for (const name of path.split('/').slice(1)) {
      id = (await reader.loadTree(id)).find((node) => node.name.toString() === name)!.subtree!
    }
    return id
  }
})
