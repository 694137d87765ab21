// The look before the leap: everything that will be restored is walked once before anything is touched.

import { HoldfastError } from '../../shared/errors.ts'
import { RepositoryError } from '../repository/errors.ts'
import { type TreeNode, treeFaults } from '../repository/tree.ts'
import { StorageError } from '../storage/object-store.ts'
import type { RestoreExtent } from './restore-contract.ts'
import { type Selection, selectionOf } from './selection.ts'

export interface PlanOptions {
  readonly root: TreeNode
  readonly selection: Selection
  readonly loadTree: (id: string) => Promise<readonly TreeNode[]>
  readonly signal: AbortSignal
}

/**
 * How much there is to restore, as far as the repository still tells. Throws, before anybody has made a single entry:
 * `illegal-name` for a name that could leave its directory, `damaged` for a tree with a name twice, `not-found` for a
 * selected path that is not there.
 */
export async function planRestore(options: PlanOptions): Promise<RestoreExtent> {
  const { signal } = options
  const extent: RestoreExtent = { files: 0, directories: 0, others: 0, bytes: 0 }

  const visit = async (directory: TreeNode, selection: Selection): Promise<void> => {
    signal.throwIfAborted()
    extent.directories++
    const nodes = await loadIfWhole(directory, options.loadTree)
    // Nobody can say what is below it: whatever of it was asked for is lost rather than not there.
    if (nodes === undefined) return
    let found = 0
    for (const node of nodes) {
      const within = selectionOf(selection, node.name)
      if (!within) continue
      found++
      if (node.type === 'dir') await visit(node, within)
      else if (!within.whole) throw notThere()
      else if (node.type === 'file') {
        extent.files++
        extent.bytes += Number(node.size ?? 0n)
      } else if (node.type !== 'socket') extent.others++
    }
    if (!selection.whole && found < selection.children.size) throw notThere()
  }

  await visit(options.root, options.selection)
  return extent
}

/**
 * The nodes of a directory, judged: nothing of a tree with an illegal or repeated name is ever restored. Undefined
 * if the repository no longer holds the tree.
 */
export async function loadIfWhole(
  directory: TreeNode,
  loadTree: (id: string) => Promise<readonly TreeNode[]>,
): Promise<readonly TreeNode[] | undefined> {
  if (directory.type !== 'dir' || directory.subtree === undefined) {
    throw new HoldfastError('invalid', 'what is to be restored is not a directory')
  }
  const nodes = await loadTree(directory.subtree).catch((error) => {
    if (isLoss(error)) return undefined
    throw error
  })
  if (nodes === undefined) return undefined
  const fault = treeFaults(nodes).find(({ fault }) => fault !== 'unsorted')
  if (!fault) return nodes
  const code = fault.fault === 'illegal-name' ? 'illegal-name' : 'damaged'
  throw new RepositoryError(code, `tree ${directory.subtree}, node ${fault.node}: ${fault.fault}`)
}

/** Whether an error says that an object is altered or gone, rather than out of reach or a threat. */
function isLoss(error: unknown): boolean {
  if (error instanceof RepositoryError) {
    return error.code === 'damaged' || error.code === 'unknown-blob' || error.code === 'too-large'
  }
  return error instanceof StorageError && (error.code === 'absent' || error.code === 'truncated')
}

function notThere(): HoldfastError {
  return new HoldfastError('not-found', 'a path to restore is not in the snapshot', {
    hint: 'list the snapshot with `holdfast ls` to see its paths',
  })
}
