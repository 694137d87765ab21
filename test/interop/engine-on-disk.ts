// Our engine on a repository directory, alone: no mover, no control plane.

import { randomBytes } from 'node:crypto'
import { check } from '../../agent/repository/check.ts'
import type { CheckReport } from '../../agent/repository/check-report.ts'
import { systemRandom } from '../../agent/repository/id.ts'
import { BlobIndex } from '../../agent/repository/index.ts'
import { idOfKey, objectKey } from '../../agent/repository/layout.ts'
import { loadIndex } from '../../agent/repository/load-index.ts'
import { createReader, type RepositoryReader } from '../../agent/repository/reader.ts'
import {
  createRepository,
  openRepository,
  type Repository,
} from '../../agent/repository/repository.ts'
import { decodeSnapshot, encodeSnapshot, type Snapshot } from '../../agent/repository/snapshot.ts'
import { fromMilliseconds } from '../../agent/repository/time.ts'
import type { TreeNode } from '../../agent/repository/tree.ts'
import { openUnpacked, sealUnpacked } from '../../agent/repository/unpacked.ts'
import {
  createWriter,
  type RepositoryWriter,
  type WriterOptions,
} from '../../agent/repository/writer.ts'
import { createDirectories, createDirectoryStore } from '../../agent/storage/directory.ts'
import type { ObjectStore } from '../../agent/storage/object-store.ts'

export interface Engine {
  readonly store: ObjectStore
  readonly repository: Repository
  readonly index: BlobIndex
  readonly reader: RepositoryReader
  /** Save what `work` saves, then a snapshot of the tree it returns. */
  snapshot(
    work: (writer: RepositoryWriter) => Promise<string>,
    options?: Pick<WriterOptions, 'workers' | 'compressionLevel'>,
  ): Promise<string>
  snapshots(): Promise<(Snapshot & { id: string })[]>
  check(): Promise<CheckReport>
}

const clock = { now: () => Date.now() }
const storeIn = (directory: string) => ({
  directory,
  temporaryName: () => randomBytes(8).toString('hex'),
})

export async function makeOnDisk(directory: string, password: string): Promise<void> {
  await createDirectories(storeIn(directory))
  const store = createDirectoryStore(storeIn(directory))
  const about = { random: systemRandom, clock, hostname: 'here', username: 'root' }
  await createRepository({ store, passwords: [password, 'recovery'], ...about })
}

/** Open with a fresh index, as a new process would. */
export async function engineOn(directory: string, password: string): Promise<Engine> {
  const store = createDirectoryStore(storeIn(directory))
  const repository = await openRepository({ store, password })
  const index = new BlobIndex()
  const idsOf = async (prefix: string) => {
    const ids: string[] = []
    for await (const { key } of store.list(prefix)) ids.push(idOfKey(key)!)
    return ids
  }
  const read = (id: string) => store.get(objectKey('index', id))
  await loadIndex({ repository, index, live: await idsOf('index/'), read })

  return {
    store,
    repository,
    index,
    reader: createReader({ store, repository, index }),
    async snapshot(work, options) {
      const writer = createWriter({
        ...options,
        repository,
        index,
        random: systemRandom,
        clock,
        onPack: ({ id, bytes }) => store.put(objectKey('data', id), id, bytes),
        onIndex: ({ id, bytes }) => store.put(objectKey('index', id), id, bytes),
      })
      const tree = await work(writer)
      await writer.flush()
      const json = encodeSnapshot({
        time: fromMilliseconds(clock.now()),
        tree,
        paths: ['/volumes/x'],
        hostname: 'here',
        username: 'root',
        tags: ['job:1'],
      })
      const { id, bytes } = sealUnpacked(repository.masterKey, json, systemRandom)
      await store.put(objectKey('snapshots', id), id, bytes)
      return id
    },
    async snapshots() {
      const found = []
      for (const id of await idsOf('snapshots/')) {
        const bytes = await store.get(objectKey('snapshots', id))
        found.push({ id, ...decodeSnapshot(openUnpacked(repository.masterKey, id, bytes)) })
      }
      return found
    },
    check: () => check({ store, repository, readData: true }),
  }
}

const time = 1_700_000_000_123_456_789n

/** Save files by name into one tree, which is returned. Contents come in reads of 100,000 bytes. */
export async function saveFiles(
  writer: RepositoryWriter,
  files: { readonly [name: string]: Buffer },
): Promise<string> {
  const nodes: TreeNode[] = []
  for (const [text, bytes] of Object.entries(files)) {
    const { content, size } = await writer.saveFile(reads(bytes))
    const name = Buffer.from(text, 'latin1')
    const times = { mtime: time, atime: time, ctime: time }
    nodes.push({
      name,
      type: 'file',
      mode: 0o640,
      ...times,
      uid: 0,
      gid: 0,
      size,
      content,
      links: 1n,
    })
  }
  nodes.sort((a, b) => Buffer.compare(a.name, b.name))
  return (await writer.saveTree(nodes)).id
}

function* reads(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000)
}
