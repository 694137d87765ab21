// What damage means: which entries of which snapshots cannot be restored as they were.
import type { ObjectStore } from '../storage/object-store.ts'
import type { Harm, HarmedEntry, HarmKind } from './check-report.ts'
import { judgeNodes, readFailure } from './check-trees.ts'
import type { Id } from './id.ts'
import type { BlobIndex } from './index.ts'
import type { LostBlobs } from './lost-blobs.ts'
import { createReader } from './reader.ts'
import type { Repository } from './repository.ts'
import { decodeTree, type TreeNode } from './tree.ts'
import { walkTrees } from './tree-walk.ts'

/** The same path harmed in many snapshots is one name, so more pairs are looked at than names are asked for. */
const pairsPerName = 20

export interface HarmOptions {
  readonly store: ObjectStore
  readonly repository: Repository
  readonly index: BlobIndex
  readonly lost: LostBlobs
  /** Names wanted at most. */
  readonly most: number
  readonly signal?: AbortSignal | undefined
}

interface HarmedNode {
  readonly name: Buffer
  readonly what: HarmKind
}

/** A tree as far as harm goes; trees without harm and without directories are not kept. */
interface HarmedTree {
  /** Harmed entries in the tree itself. */
  readonly own: number
  /** The numbers of its subtrees in the index. */
  readonly children: readonly number[]
}

/**
 * Look through snapshots, those first in `roots` first. All trees are read once, pack by pack; after that only the
 * way down to harm is walked for every snapshot.
 */
export async function findHarm(
  options: HarmOptions,
  roots: readonly { id: Id; tree: Id }[],
): Promise<Harm> {
  const { store, repository, index, lost, most, signal } = options
  const reader = createReader({ store, repository, index })
  const trees = new Map<number, HarmedTree>()
  const counted = new Map<number, number>()
  const named = new Map<string, { what: HarmKind; path: Buffer; snapshots: Id[] }>()
  let pairs = 0
  let entries = 0
  let snapshots = 0

  /** What is wrong in this tree itself. */
  function harmedIn(nodes: readonly TreeNode[]): HarmedNode[] {
    const harmed = new Map<number, HarmKind>()
    for (const { node, fault } of judgeNodes(index, nodes)) harmed.set(node, fault)
    for (const [i, { content }] of nodes.entries()) {
      if (content?.some((id) => lost.has('data', id))) harmed.set(i, 'content-lost')
    }
    return [...harmed].map(([i, what]) => ({ name: nodes[i]!.name, what }))
  }

  function visit(id: Id, nodes: readonly TreeNode[]): void {
    const own = harmedIn(nodes).length
    const children = subtreesOf(nodes).map(({ subtree }) => index.numberOf('tree', subtree))
    if (own > 0 || children.length > 0) trees.set(index.numberOf('tree', id), { own, children })
  }

  /** Harmed entries at and below a tree; one that is lost counts for one. */
  function count(number: number): number {
    if (number < 0) return 1
    const known = counted.get(number)
    if (known !== undefined) return known
    const tree = trees.get(number)
    const sum = tree?.children.reduce((all, child) => all + count(child), tree.own) ?? 0
    counted.set(number, sum)
    return sum
  }

  async function read(tree: Id): Promise<TreeNode[] | undefined> {
    signal?.throwIfAborted()
    if (lost.has('tree', tree)) return undefined
    try {
      return decodeTree(await reader.loadBlob('tree', tree))
    } catch (error) {
      readFailure(error)
      return undefined
    }
  }

  function name(snapshot: Id, path: Buffer, what: HarmKind): void {
    pairs++
    const key = `${what} ${path.toString('latin1')}`
    const one = named.get(key)
    if (one !== undefined) one.snapshots.push(snapshot)
    else if (named.size < most) named.set(key, { what, path, snapshots: [snapshot] })
  }

  async function descend(snapshot: Id, tree: Id, path: Buffer): Promise<void> {
    if (pairs >= most * pairsPerName || count(index.numberOf('tree', tree)) === 0) return
    const nodes = await read(tree)
    if (nodes === undefined) {
      name(snapshot, path, 'directory-lost')
      return
    }
    const below = (node: { name: Buffer }) =>
      path.length === 0 ? node.name : Buffer.concat([path, Buffer.from('/'), node.name])
    for (const node of harmedIn(nodes)) name(snapshot, below(node), node.what)
    for (const node of subtreesOf(nodes)) await descend(snapshot, node.subtree, below(node))
  }

  const failed = (id: Id, error: unknown) => {
    readFailure(error)
    trees.set(index.numberOf('tree', id), { own: 1, children: [] })
  }
  const walk = { store, repository, index, signal, visit, failed, unknown: () => {} }
  await walkTrees(
    walk,
    roots.map(({ tree }) => tree),
  )
  for (const { id, tree } of roots) {
    const harmed = count(index.numberOf('tree', tree))
    if (harmed === 0) continue
    entries += harmed
    snapshots++
    await descend(id, tree, Buffer.alloc(0))
  }
  const list: HarmedEntry[] = [...named.values()].sort((a, b) => Buffer.compare(a.path, b.path))
  return { entries, snapshots, named: list }
}

function subtreesOf(nodes: readonly TreeNode[]): (TreeNode & { readonly subtree: Id })[] {
  return nodes.filter(
    (node): node is TreeNode & { readonly subtree: Id } =>
      node.type === 'dir' && node.subtree !== undefined,
  )
}
