// The way from a snapshot's root tree to a source's root: `/volumes/pgdata`.

import { goMode } from '../repository/mode.ts'
import type { TreeNode } from '../repository/tree.ts'

/** A directory that exists only in the snapshot: 0755, root's, born in 1970, the same on every host. */
function syntheticDirectory(name: Buffer, subtree: string): TreeNode {
  const mode = goMode(0o040_755)
  return { name, type: 'dir', mode, mtime: 0n, atime: 0n, ctime: 0n, uid: 0, gid: 0, subtree }
}

/**
 * Save the synthetic directories above `root`, which is the node of the source's own root and bears the
 * last component of `path`. Returns the id of the root tree.
 */
export async function saveAbove(
  path: readonly Buffer[],
  root: TreeNode,
  saveTree: (nodes: TreeNode[]) => Promise<string>,
): Promise<string> {
  let tree = await saveTree([root])
  for (const name of path.slice(0, -1).reverse()) {
    tree = await saveTree([syntheticDirectory(name, tree)])
  }
  return tree
}

type LoadTree = (id: string) => Promise<readonly TreeNode[] | undefined>

/**
 * The node at `path` below the root tree `tree`; undefined if there is none, or a tree on the way cannot be had.
 * The empty path is the root itself. A snapshot that restic made of a relative path says the absolute one and
 * keeps its tree from somewhere on the way to it: then the longest end of `path` that is there.
 */
export async function findNode(
  path: readonly Buffer[],
  tree: string,
  loadTree: LoadTree,
): Promise<TreeNode | undefined> {
  if (path.length === 0) return syntheticDirectory(Buffer.from('/'), tree)
  for (let from = 0; from < path.length; from++) {
    const node = await walk(path.slice(from), tree, loadTree)
    if (node !== undefined) return node
  }
  return undefined
}

async function walk(
  path: readonly Buffer[],
  tree: string,
  loadTree: LoadTree,
): Promise<TreeNode | undefined> {
  let node: TreeNode | undefined
  let next: string | undefined = tree
  for (const name of path) {
    if (next === undefined) return undefined
    const nodes: readonly TreeNode[] | undefined = await loadTree(next)
    node = nodes?.find((candidate) => candidate.name.equals(name))
    next = node?.subtree
  }
  return node
}
