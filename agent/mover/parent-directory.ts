// What the parent snapshot knows of one directory: asked name by name, decoded only where something changed.

import { RepositoryError } from '../repository/errors.ts'
import { parseExact } from '../repository/go-json.ts'
import {
  compareNodes,
  decodeNode,
  decodeTree,
  type TreeNode,
  treeFaults,
} from '../repository/tree.ts'
import { TreeCursor } from '../repository/tree-cursor.ts'

/** A stretch of a tree's text. */
export interface Stretch {
  readonly start: number
  readonly end: number
}

/** The directory's listing in the parent snapshot. */
export class ParentDirectory {
  readonly cursor: TreeCursor
  /** All nodes by name (one character per byte), where the text is not as we write it. */
  #decoded: ReadonlyMap<string, TreeNode> | undefined

  constructor(text: Buffer) {
    this.cursor = new TreeCursor(text)
  }

  /**
   * Whether `cursor` stands at the node of `name`, which is one character per byte; names must come in rising
   * order. False also where the text is not as we write it: `decoded` may know the node then.
   */
  seek(name: string): boolean {
    return this.cursor.seek(name)
  }

  /** The node of `name`, if the cursor is lost. */
  decoded(name: string): TreeNode | undefined {
    if (!this.cursor.lost) return undefined
    if (this.#decoded === undefined) {
      const nodes = soundNodes(this.cursor.text) ?? []
      this.#decoded = new Map(nodes.map((node) => [node.name.toString('latin1'), node]))
    }
    return this.#decoded.get(name)
  }

  /** The node whose text this is; undefined if it cannot be read. */
  nodeAt({ start, end }: Stretch): TreeNode | undefined {
    try {
      return decodeNode(parseExact(this.cursor.text.subarray(start, end), 'a node'))
    } catch (error) {
      if (error instanceof RepositoryError) return undefined
      throw error
    }
  }
}

/** The nodes of a tree in order; undefined if it is damaged, or if restoring it could lead out of its directory. */
export function soundNodes(text: Buffer): readonly TreeNode[] | undefined {
  try {
    const nodes = decodeTree(text)
    const faults = treeFaults(nodes)
    if (faults.some(({ fault }) => fault !== 'unsorted')) return undefined
    return faults.length === 0 ? nodes : nodes.toSorted(compareNodes)
  } catch (error) {
    if (error instanceof RepositoryError) return undefined
    throw error
  }
}
