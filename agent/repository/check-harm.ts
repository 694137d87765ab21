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

/**
 * Look through snapshots, those first in `roots` first. Trees that hold no harm are read once; only the way down
 * to harm is walked for every snapshot.
 */
export async function findHarm(
  options: HarmOptions,
  roots: Iterable<{ id: Id; tree: Id }>,
): Promise<Harm> {
  const { store, repository, index, lost, most, signal } = options
  const reader = createReader({ store, repository, index })
  /** Harmed entries below a tree, by its number in the index; 0 for most. */
  const counted = new Map<number, number>()
  const named = new Map<string, { what: HarmKind; path: Buffer; snapshots: Id[] }>()
  let pairs = 0
  let entries = 0
  let snapshots = 0

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

  /** What is wrong in this tree itself. */
  function harmedIn(nodes: readonly TreeNode[]): HarmedNode[] {
    const harmed = new Map<number, HarmKind>()
    for (const { node, fault } of judgeNodes(index, nodes)) harmed.set(node, fault)
    for (const [i, { content }] of nodes.entries()) {
      if (content?.some((id) => lost.has('data', id))) harmed.set(i, 'content-lost')
    }
    return [...harmed].map(([i, what]) => ({ name: nodes[i]!.name, what }))
  }

  async function count(tree: Id): Promise<number> {
    const number = index.numberOf('tree', tree)
    const known = counted.get(number)
    if (known !== undefined && number >= 0) return known
    const nodes = await read(tree)
    let sum = 1
    if (nodes !== undefined) {
      sum = harmedIn(nodes).length
      for (const { type, subtree } of nodes) {
        if (type === 'dir' && subtree !== undefined) sum += await count(subtree)
      }
    }
    counted.set(number, sum)
    return sum
  }

  function name(snapshot: Id, path: Buffer, what: HarmKind): void {
    pairs++
    const key = `${what} ${path.toString('latin1')}`
    const one = named.get(key)
    if (one !== undefined) one.snapshots.push(snapshot)
    else if (named.size < most) named.set(key, { what, path, snapshots: [snapshot] })
  }

  async function descend(snapshot: Id, tree: Id, path: Buffer): Promise<void> {
    if (pairs >= most * pairsPerName || (await count(tree)) === 0) return
    const nodes = await read(tree)
    if (nodes === undefined) {
      name(snapshot, path, 'directory-lost')
      return
    }
    const below = (node: { name: Buffer }) =>
      path.length === 0 ? node.name : Buffer.concat([path, Buffer.from('/'), node.name])
    for (const node of harmedIn(nodes)) name(snapshot, below(node), node.what)
    for (const node of nodes) {
      if (node.type !== 'dir' || node.subtree === undefined) continue
      await descend(snapshot, node.subtree, below(node))
    }
  }

  for (const { id, tree } of roots) {
    const harmed = await count(tree)
    if (harmed === 0) continue
    entries += harmed
    snapshots++
    await descend(id, tree, Buffer.alloc(0))
  }
  const list: HarmedEntry[] = [...named.values()].sort((a, b) => Buffer.compare(a.path, b.path))
  return { entries, snapshots, named: list }
}
