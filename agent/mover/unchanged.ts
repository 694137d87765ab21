// What the parent snapshot knows: which files need no reading.

import type { BigIntStats } from 'node:fs'
import type { TreeNode } from '../repository/tree.ts'

/** Nodes of one directory of the parent snapshot, by name (one character per byte). */
export type ParentNodes = ReadonlyMap<string, TreeNode>

const none: ParentNodes = new Map()

/** The parent's view of a directory; empty if it had none, or if its tree cannot be had. */
export async function loadParentNodes(
  subtree: string | undefined,
  loadTree: (id: string) => Promise<readonly TreeNode[] | undefined>,
): Promise<ParentNodes> {
  const nodes = subtree === undefined ? undefined : await loadTree(subtree)
  if (!nodes) return none
  return new Map(nodes.map((node) => [node.name.toString('latin1'), node]))
}

/**
 * The content of a file if it needs no reading: the parent has the same size, mtime, ctime and inode,
 * and every chunk it names is still there. ctime cannot be set by a program, so a file whose mtime
 * was put back is read.
 */
export function unchangedContent(
  stat: BigIntStats,
  before: TreeNode | undefined,
  knows: (chunk: string) => boolean,
): readonly string[] | undefined {
  if (before?.type !== 'file' || !before.content) return undefined
  const same =
    (before.size ?? 0n) === stat.size &&
    before.mtime === stat.mtimeNs &&
    before.ctime === stat.ctimeNs &&
    before.inode === stat.ino
  return same && before.content.every(knows) ? before.content : undefined
}

/** Whether a directory is as it was, all below it included. */
export function sameDirectory(before: TreeNode, now: TreeNode): boolean {
  return (
    before.type === 'dir' &&
    before.subtree === now.subtree &&
    before.mode === now.mode &&
    before.uid === now.uid &&
    before.gid === now.gid &&
    before.mtime === now.mtime
  )
}
