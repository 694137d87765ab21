import type { TreeNode } from '../repository/tree.ts'

/** Entries with several names that were restored, so that the other names become links of the first. */
export class RestoredLinks {
  readonly #known = new Map<string, { node: TreeNode; path: Buffer; left: bigint }>()

  /** The first of several names was restored at `path`. */
  remember(node: TreeNode, path: Buffer): void {
    const key = keyOf(node)
    if (key && !this.#known.has(key)) {
      this.#known.set(key, { node, path, left: (node.links ?? 1n) - 1n })
    }
  }

  /**
   * Where the same entry was restored under another name; undefined if it was not. Names of one inode whose
   * content differs, because it was written to between being read twice, stay files of their own.
   */
  firstOf(node: TreeNode): Buffer | undefined {
    const key = keyOf(node)
    const known = key === undefined ? undefined : this.#known.get(key)
    if (key === undefined || !known || !sameEntry(known.node, node)) return undefined
    if (--known.left === 0n) this.#known.delete(key)
    return known.path
  }
}

/** Undefined for what has one name only, or whose inode nobody noted. */
function keyOf({ inode, deviceId, links }: TreeNode): string | undefined {
  return (links ?? 1n) > 1n && inode !== undefined ? `${deviceId ?? 0n}:${inode}` : undefined
}

function sameEntry(a: TreeNode, b: TreeNode): boolean {
  if (a.type !== b.type || a.device !== b.device) return false
  if (a.type === 'symlink') return a.linkTarget?.equals(b.linkTarget ?? Buffer.alloc(0)) ?? false
  return (a.content ?? []).join() === (b.content ?? []).join()
}
