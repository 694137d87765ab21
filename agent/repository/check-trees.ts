// Checking trees: everything that snapshots reach, each tree once.
import { StorageError } from '../storage/object-store.ts'
import { plainLength } from './blob.ts'
import type { ProblemList } from './check-report.ts'
import { RepositoryError } from './errors.ts'
import type { Id } from './id.ts'
import type { BlobIndex } from './index.ts'
import type { RepositoryReader } from './reader.ts'
import { decodeTree, type TreeNode, treeFaults } from './tree.ts'

/** Trees fetched at a time: enough to hide a store's latency, few enough for little memory. */
const fetches = 8

/** Walk all trees below `roots`; returns how many there are. `onTree` hears the count as it grows. */
export async function checkTrees(
  options: {
    reader: RepositoryReader
    index: BlobIndex
    problems: ProblemList
    signal?: AbortSignal | undefined
    onTree?: (done: number) => void
  },
  roots: Iterable<Id>,
): Promise<number> {
  const { reader, index, problems, signal, onTree } = options
  // One bit per known blob: trees shared by many snapshots are read once, within bounded memory.
  const seen = new Uint8Array((index.size >> 3) + 1)
  const missing = new Set<Id>()
  const waiting: Id[] = []
  let trees = 0

  function enqueue(id: Id): void {
    const number = index.numberOf('tree', id)
    if (number < 0) {
      if (!missing.has(id)) problems.add('blob-missing', id, 'a tree')
      missing.add(id)
      return
    }
    const bit = 1 << (number & 7)
    if ((seen[number >> 3]! & bit) !== 0) return
    seen[number >> 3]! |= bit
    waiting.push(id)
  }

  async function checkTree(id: Id): Promise<void> {
    let nodes: TreeNode[]
    try {
      nodes = decodeTree(await reader.loadBlob('tree', id))
    } catch (error) {
      problems.add('tree-damaged', id, readFailure(error))
      for (const { pack } of index.findAll('tree', id)) problems.damagedPacks.add(pack)
      return
    }
    for (const { node, fault } of treeFaults(nodes)) problems.add(fault, id, `node ${node}`)
    nodes.forEach((node, i) => {
      if (node.type === 'dir' && node.subtree !== undefined) enqueue(node.subtree)
      if (node.type === 'file') checkContent(id, node, i)
    })
  }

  function checkContent(tree: Id, node: TreeNode, number: number): void {
    let sum = 0n
    let complete = true
    for (const id of node.content ?? []) {
      const place = index.find('data', id)
      if (place === undefined) {
        if (!missing.has(id)) problems.add('blob-missing', id, `tree ${tree}, node ${number}`)
        missing.add(id)
        complete = false
      } else sum += BigInt(plainLength(place))
    }
    const size = node.size ?? 0n
    if (complete && node.content !== undefined && sum !== size) {
      problems.add('size-differs', tree, `node ${number}: size ${size}, chunks ${sum}`)
    }
  }

  for (const root of roots) enqueue(root)
  const running = new Set<Promise<void>>()
  while (waiting.length > 0 || running.size > 0) {
    signal?.throwIfAborted()
    const id = running.size < fetches ? waiting.pop() : undefined
    if (id === undefined) {
      await Promise.race(running)
      continue
    }
    trees++
    onTree?.(trees)
    const work: Promise<void> = checkTree(id).finally(() => running.delete(work))
    // A failure reaches the loop through `race`; until then it must not count as unhandled.
    work.catch(() => {})
    running.add(work)
  }
  return trees
}

/** What a failed read says about the repository; a store that cannot be reached says nothing, and is thrown on. */
export function readFailure(error: unknown): string {
  if (error instanceof RepositoryError) return error.message
  const gone =
    error instanceof StorageError && (error.code === 'absent' || error.code === 'truncated')
  if (gone) return error.message
  throw error
}
