import { expect, test } from 'vitest'
import {
  directoryNode,
  fileNode,
  type ScratchRepository,
  scratchRepository,
} from '../../test/support/scratch-repository.ts'
import type { ObjectStore } from '../storage/object-store.ts'
import { walkTrees } from './tree-walk.ts'

/** A root with `count` directories, each with a file of its own. */
async function manyDirectories(scratch: ScratchRepository, count: number): Promise<string> {
  const writer = scratch.writer()
  const directories = []
  for (let i = 0; i < count; i++) {
    const name = `d${String(i).padStart(4, '0')}`
    directories.push(directoryNode(name, (await writer.saveTree([fileNode(name, [], 0)])).id))
  }
  const { id } = await writer.saveTree(directories)
  await writer.flush()
  return id
}

/** Walks, and tells what was asked of the store. */
async function walk(scratch: ScratchRepository, roots: string[]) {
  const asked: ('whole' | 'part')[] = []
  const get: ObjectStore['get'] = (key, range) => {
    asked.push(range === undefined ? 'whole' : 'part')
    return scratch.store.get(key, range)
  }
  const visited: string[] = []
  const failed: string[] = []
  const unknown: string[] = []
  const { repository, index } = scratch
  const trees = await walkTrees(
    {
      store: { ...scratch.store, get },
      repository,
      index,
      visit: (id) => visited.push(id),
      failed: (id) => failed.push(id),
      unknown: (id) => unknown.push(id),
    },
    roots,
  )
  return { trees, visited, failed, unknown, asked }
}

test('every tree is visited once, and a pack full of them is fetched whole', async () => {
  const scratch = scratchRepository()
  const root = await manyDirectories(scratch, 300)
  const { trees, visited, asked } = await walk(scratch, [root, root])
  expect(trees).toBe(301)
  expect(new Set(visited).size).toBe(301)
  expect(visited.length).toBe(301)
  // The root by itself; then it is known how much of the pack is wanted.
  expect(asked.filter((what) => what === 'whole').length).toBeLessThanOrEqual(1)
  expect(asked.length).toBeLessThan(20)
})

test('one tree of a large pack is fetched alone', async () => {
  const scratch = scratchRepository()
  await manyDirectories(scratch, 50)
  const [leaf] = [...scratch.index.listings()].flatMap(({ blobs }) => blobs)
  const { trees, asked } = await walk(scratch, [leaf!.id])
  expect({ trees, asked }).toEqual({ trees: 1, asked: ['part'] })
})

test('a damaged tree fails by itself, and one that no index lists is told', async () => {
  const scratch = scratchRepository()
  const root = await manyDirectories(scratch, 100)
  const [place] = [...scratch.index.listings()].flatMap(({ blobs }) => blobs)
  const [key] = [...scratch.store.objects.keys()].filter((name) => name.startsWith('data/'))
  const bytes = Buffer.from(scratch.store.objects.get(key!)!)
  bytes[place!.offset + 20]! ^= 1
  scratch.store.objects.set(key!, bytes)
  const { trees, visited, failed, unknown } = await walk(scratch, [root, 'ab'.repeat(32)])
  expect({ trees, visited: visited.length, failed, unknown }).toEqual({
    trees: 101,
    visited: 100,
    failed: [place!.id],
    unknown: ['ab'.repeat(32)],
  })
})
