// Checking trees: everything that snapshots reach, each tree once.
import { StorageError } from '../storage/object-store.ts'
import { plainLength } from './blob.ts'
import type { ProblemList } from './check-report.ts'
import { RepositoryError } from './errors.ts'
import type { Id } from './id.ts'
import type { BlobIndex } from './index.ts'
import type { LostBlobs } from './lost-blobs.ts'
import { type TreeFault, type TreeNode, treeFaults } from './tree.ts'
import { type TreeWalkOptions, walkTrees } from './tree-walk.ts'

export type NodeFault = TreeFault | 'size-differs'

/** What is wrong with the nodes of a tree, as far as the tree and the index tell: the store is not asked. */
export function judgeNodes(
  index: BlobIndex,
  nodes: readonly TreeNode[],
): { node: number; fault: NodeFault; detail: string }[] {
  const faults: { node: number; fault: NodeFault; detail: string }[] = treeFaults(nodes).map(
    ({ node, fault }) => ({ node, fault, detail: `node ${node}` }),
  )
  for (const [i, node] of nodes.entries()) {
    if (node.type !== 'file' || node.content === undefined) continue
    const sum = lengthOf(index, node.content)
    const size = node.size ?? 0n
    if (sum === undefined || sum === size) continue
    faults.push({
      node: i,
      fault: 'size-differs',
      detail: `node ${i}: size ${size}, chunks ${sum}`,
    })
  }
  return faults
}

/** How long the content is in bytes, or undefined where a chunk of it is in no index file. */
function lengthOf(index: BlobIndex, content: readonly Id[]): bigint | undefined {
  let sum = 0
  for (const id of content) {
    const place = index.find('data', id)
    if (place === undefined) return undefined
    sum += plainLength(place)
  }
  return BigInt(sum)
}

/** Walk all trees below `roots`; returns how many there are. `onTree` hears the count as it grows. */
export function checkTrees(
  options: Pick<TreeWalkOptions, 'store' | 'repository' | 'index' | 'signal'> & {
    problems: ProblemList
    lost: LostBlobs
    onTree?: (done: number) => void
  },
  roots: Iterable<Id>,
): Promise<number> {
  const { index, problems, lost, onTree, ...walk } = options
  const missing = new Set<Id>()
  let trees = 0

  function miss(id: Id, detail: string): void {
    if (missing.has(id)) return
    missing.add(id)
    problems.add('blob-missing', id, detail)
  }

  return walkTrees(
    {
      ...walk,
      index,
      visit(id, nodes) {
        onTree?.(++trees)
        for (const { fault, detail } of judgeNodes(index, nodes)) problems.add(fault, id, detail)
        nodes.forEach(({ content }, i) => {
          for (const chunk of content ?? []) {
            if (!index.has('data', chunk)) miss(chunk, `tree ${id}, node ${i}`)
          }
        })
      },
      failed(id, error) {
        onTree?.(++trees)
        problems.add('tree-damaged', id, readFailure(error))
        lost.addEverywhere('tree', id)
        for (const { pack } of index.findAll('tree', id)) problems.damagedPacks.add(pack)
      },
      unknown: (id) => miss(id, 'a tree'),
    },
    roots,
  )
}

/** Every pack that holds something of the trees below `root`; trees that cannot be read are judged elsewhere. */
export async function packsBelow(
  options: Pick<TreeWalkOptions, 'store' | 'repository' | 'index' | 'signal'>,
  root: Id,
): Promise<Set<Id>> {
  const { index } = options
  const packs = new Set<Id>()
  const note = (type: 'data' | 'tree', id: Id) => {
    for (const { pack } of index.findAll(type, id)) packs.add(pack)
  }
  await walkTrees(
    {
      ...options,
      visit(id, nodes) {
        note('tree', id)
        for (const { content } of nodes) for (const chunk of content ?? []) note('data', chunk)
      },
      failed: (id) => note('tree', id),
      unknown: () => {},
    },
    [root],
  )
  return packs
}

/** What a failed read says about the repository; a store that cannot be reached says nothing, and is thrown on. */
export function readFailure(error: unknown): string {
  if (error instanceof RepositoryError) return error.message
  const gone =
    error instanceof StorageError && (error.code === 'absent' || error.code === 'truncated')
  if (gone) return error.message
  throw error
}
