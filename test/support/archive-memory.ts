// A repository for archives under test: it keeps whole files as blobs, and trees as they are.

import type { ArchiveOptions } from '../../agent/mover/archive-contract.ts'
import { idOf } from '../../agent/repository/id.ts'
import { decodeTree, encodeTree, type TreeNode } from '../../agent/repository/tree.ts'

export interface ArchiveMemory {
  /** The nodes of each tree that was saved. */
  readonly trees: Map<string, readonly TreeNode[]>
  /** The same as bytes. */
  readonly texts: Map<string, Buffer>
  readonly blobs: Map<string, Buffer>
  readonly writer: ArchiveOptions['writer']
  readonly loadTree: ArchiveOptions['loadTree']
}

export function createArchiveMemory(): ArchiveMemory {
  const trees = new Map<string, readonly TreeNode[]>()
  const texts = new Map<string, Buffer>()
  const blobs = new Map<string, Buffer>()
  const added = (fresh: boolean, bytes: number) =>
    fresh ? { blobs: 1, bytes, packedBytes: bytes + 32 } : { blobs: 0, bytes: 0, packedBytes: 0 }
  return {
    trees,
    texts,
    blobs,
    writer: {
      async saveFile(chunks) {
        const parts: Buffer[] = []
        for await (const chunk of chunks) parts.push(Buffer.from(chunk))
        const bytes = Buffer.concat(parts)
        if (bytes.length === 0) return { content: [], size: 0n, added: added(false, 0) }
        const id = idOf(bytes)
        const fresh = !blobs.has(id)
        blobs.set(id, bytes)
        return { content: [id], size: BigInt(bytes.length), added: added(fresh, bytes.length) }
      },
      async saveBlob(_type, text) {
        const id = idOf(text)
        const fresh = !texts.has(id)
        const nodes = decodeTree(text)
        if (!encodeTree(nodes).equals(text)) throw new Error('a tree is not as we write them')
        texts.set(id, Buffer.from(text))
        trees.set(id, nodes)
        return { id, added: added(fresh, text.length) }
      },
      knows: (type, id) => (type === 'data' ? blobs : trees).has(id),
    },
    loadTree: async (id) => texts.get(id),
  }
}
