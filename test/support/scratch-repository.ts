// For tests: a repository in memory with everything needed to write into it and read it back.

import { systemRandom } from '../../agent/repository/id.ts'
import { BlobIndex } from '../../agent/repository/index.ts'
import { randomMasterKey } from '../../agent/repository/key-file.ts'
import { objectKey } from '../../agent/repository/layout.ts'
import type { Repository } from '../../agent/repository/repository.ts'
import { encodeSnapshot } from '../../agent/repository/snapshot.ts'
import type { TreeNode } from '../../agent/repository/tree.ts'
import { sealUnpacked } from '../../agent/repository/unpacked.ts'
import {
  createWriter,
  type RepositoryWriter,
  type WriterOptions,
} from '../../agent/repository/writer.ts'
import { createMemoryStore, type MemoryStore } from '../../agent/storage/memory.ts'
import type { ObjectStore } from '../../agent/storage/object-store.ts'

export interface ScratchRepository {
  readonly store: MemoryStore
  readonly repository: Repository
  readonly index: BlobIndex
  writer(more?: Partial<WriterOptions> & { through?: ObjectStore }): RepositoryWriter
  snapshot(tree: string): Promise<string>
}

const time = 1_700_000_000_000_000_000n

/** No password and no scrypt: quick to make. */
export function scratchRepository(store: MemoryStore = createMemoryStore()): ScratchRepository {
  const masterKey = randomMasterKey(systemRandom)
  const polynomial = 0x3da3358b4dc173n
  const repository: Repository = { id: '', version: 2, masterKey, polynomial, keyId: undefined }
  const index = new BlobIndex()
  return {
    store,
    repository,
    index,
    writer: ({ through = store, ...more } = {}) =>
      createWriter({
        repository,
        index,
        random: systemRandom,
        clock: { now: () => 0 },
        onPack: ({ id, bytes }) => through.put(objectKey('data', id), id, bytes),
        onIndex: ({ id, bytes }) => through.put(objectKey('index', id), id, bytes),
        ...more,
      }),
    async snapshot(tree) {
      const json = encodeSnapshot({ time, tree, paths: ['/x'] })
      const { id, bytes } = sealUnpacked(masterKey, json, systemRandom)
      await store.put(objectKey('snapshots', id), id, bytes)
      return id
    },
  }
}

/** A node with the least that a tree needs. */
export function fileNode(name: string, content: string[], size: number | bigint): TreeNode {
  const times = { mtime: time, atime: time, ctime: time }
  return {
    name: Buffer.from(name),
    type: 'file',
    mode: 420,
    ...times,
    uid: 0,
    gid: 0,
    content,
    size: BigInt(size),
  }
}

export function directoryNode(name: string, subtree: string): TreeNode {
  const times = { mtime: time, atime: time, ctime: time }
  return {
    name: Buffer.from(name),
    type: 'dir',
    mode: 2147484141,
    ...times,
    uid: 0,
    gid: 0,
    subtree,
  }
}
