import { describe, expect, it } from 'vitest'
import { goMode } from '../repository/mode.ts'
import type { TreeNode } from '../repository/tree.ts'
import { findNode } from './snapshot-path.ts'

function directory(name: string, subtree: string): TreeNode {
  const mode = goMode(0o040_755)
  const times = { mtime: 1n, atime: 1n, ctime: 1n }
  return { name: Buffer.from(name), type: 'dir', mode, ...times, uid: 7, gid: 7, subtree }
}
const trees: Record<string, TreeNode[]> = {
  absolute: [directory('srv', 'srv')],
  srv: [directory('data', 'data')],
  data: [],
  relative: [directory('data', 'data')],
}
const find = (path: string, tree: string) => {
  const parts = path.split('/').filter((part) => part !== '')
  return findNode(
    parts.map((part) => Buffer.from(part)),
    tree,
    async (id) => trees[id],
  )
}

describe('the way to the root of a source', () => {
  it('is its path', async () => {
    expect(await find('/srv/data', 'absolute')).toMatchObject({ uid: 7, subtree: 'data' })
  })

  it('begins later where restic was given a relative path', async () => {
    expect(await find('/srv/data', 'relative')).toMatchObject({ uid: 7, subtree: 'data' })
  })

  it('is empty for a snapshot of several directories', async () => {
    expect(await find('/', 'absolute')).toMatchObject({ type: 'dir', subtree: 'absolute' })
  })

  it('leads nowhere where there is nothing of that name, or a tree cannot be had', async () => {
    expect(await find('/srv/other', 'absolute')).toBeUndefined()
    expect(await find('/srv/data', 'gone')).toBeUndefined()
  })
})
