// The look before the leap: everything that will be restored is walked once before anything is touched.

import { HoldfastError } from '../../shared/errors.ts'
import { RepositoryError } from '../repository/errors.ts'
import type { BlobIndex } from '../repository/index.ts'
import { type TreeNode, treeFaults } from '../repository/tree.ts'
import type { RestoreExtent } from './restore-contract.ts'
import { type Selection, selectionOf } from './selection.ts'

export interface PlanOptions {
  readonly root: TreeNode
  readonly selection: Selection
  readonly loadTree: (id: string) => Promise<readonly TreeNode[]>
  readonly index: Pick<BlobIndex, 'find'>
  readonly signal: AbortSignal
}

/**
 * How much there is to restore. Throws, before anybody has made a single entry: `illegal-name` for a name that
 * could leave its directory, `damaged` for trees that cannot be restored, `unknown-blob` for content that no index
 * lists, `not-found` for a selected path that is not there.
 */
export async function planRestore(options: PlanOptions): Promise<RestoreExtent> {
  const { index, signal } = options
  const extent: RestoreExtent = { files: 0, directories: 0, others: 0, bytes: 0 }

  const visit = async (directory: TreeNode, selection: Selection): Promise<void> => {
    signal.throwIfAborted()
    extent.directories++
    const nodes = await loadSoundTree(directory, options.loadTree)
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
        for (const chunk of node.content ?? []) {
          if (!index.find('data', chunk))
            throw new RepositoryError('unknown-blob', `data blob ${chunk}`)
        }
      } else if (node.type !== 'socket') extent.others++
    }
    if (!selection.whole && found < selection.children.size) throw notThere()
  }

  await visit(options.root, options.selection)
  return extent
}

/** The nodes of a directory, judged: nothing of a tree with an illegal or repeated name is ever restored. */
export async function loadSoundTree(
  directory: TreeNode,
  loadTree: (id: string) => Promise<readonly TreeNode[]>,
): Promise<readonly TreeNode[]> {
  if (directory.type !== 'dir' || directory.subtree === undefined) {
    throw new HoldfastError('invalid', 'what is to be restored is not a directory')
  }
  const nodes = await loadTree(directory.subtree)
  const fault = treeFaults(nodes).find(({ fault }) => fault !== 'unsorted')
  if (!fault) return nodes
  const code = fault.fault === 'illegal-name' ? 'illegal-name' : 'damaged'
  throw new RepositoryError(code, `tree ${directory.subtree}, node ${fault.node}: ${fault.fault}`)
}

function notThere(): HoldfastError {
  return new HoldfastError('not-found', 'a path to restore is not in the snapshot', {
    hint: 'list the snapshot with `holdfast ls` to see its paths',
  })
}
