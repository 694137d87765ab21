// A repository in a folder, with our engine on it: what tests and the demo archive into and restore from.

import { randomBytes } from 'node:crypto'
import { noAccounts } from '../../agent/mover/accounts.ts'
import { archive } from '../../agent/mover/archive.ts'
import type { Archived, ArchiveOptions } from '../../agent/mover/archive-contract.ts'
import { systemClock } from '../../agent/mover/system-clock.ts'
import { systemRandom } from '../../agent/repository/id.ts'
import { BlobIndex } from '../../agent/repository/index.ts'
import { idOfKey, objectKey, prefixOf } from '../../agent/repository/layout.ts'
import { loadIndex } from '../../agent/repository/load-index.ts'
import { createReader, type RepositoryReader } from '../../agent/repository/reader.ts'
import {
  createRepository,
  openRepository,
  type Repository,
} from '../../agent/repository/repository.ts'
import { encodeSnapshot } from '../../agent/repository/snapshot.ts'
import { fromMilliseconds } from '../../agent/repository/time.ts'
import { sealUnpacked } from '../../agent/repository/unpacked.ts'
import { createWriter, type RepositoryWriter } from '../../agent/repository/writer.ts'
import type { Source } from '../../agent/sources/source.ts'
import { createDirectories, createDirectoryStore } from '../../agent/storage/directory.ts'
import type { ObjectStore } from '../../agent/storage/object-store.ts'

export interface LocalRepository {
  readonly directory: string
  readonly password: string
  readonly repository: Repository
  readonly store: ObjectStore
  readonly index: BlobIndex
  readonly reader: RepositoryReader
  /** The repository of the same keys in another folder, as a new process would find it there. */
  elsewhere(directory: string): Promise<LocalRepository>
  /** Learn what another program, such as restic, added or removed. */
  refresh(): Promise<void>
  /** Lend a writer; what it saved is stored when this resolves. */
  write<T>(work: (writer: RepositoryWriter) => Promise<T>): Promise<T>
  /** Archive a source and store a snapshot of it. */
  backup(source: Source, more?: Partial<ArchiveOptions>): Promise<Archived & { snapshot: string }>
  /** Store a snapshot of a tree that is there. Resolves to its id. */
  saveSnapshot(tree: string, paths: readonly string[]): Promise<string>
}

/** How its writers work: `workers` threads seal beside this one, 0 for none. */
export interface Writing {
  readonly workers?: number
}

/** Make a repository in the empty or missing folder `directory`. */
export async function makeLocalRepository(
  directory: string,
  password = 'a password for tests',
  writing: Writing = {},
): Promise<LocalRepository> {
  const options = storeOptions(directory)
  await createDirectories(options)
  const store = createDirectoryStore(options)
  const repository = await createRepository({
    store,
    passwords: [password],
    random: systemRandom,
    clock: systemClock,
    hostname: 'test',
    username: 'root',
  })
  return withEngine(directory, password, store, repository, writing)
}

/** Open the repository in `directory` and learn what is in it. */
export async function openLocalRepository(
  directory: string,
  password: string,
): Promise<LocalRepository> {
  const store = createDirectoryStore(storeOptions(directory))
  const repository = await openRepository({ store, password })
  const local = withEngine(directory, password, store, repository)
  await local.refresh()
  return local
}

function storeOptions(directory: string) {
  return { directory, temporaryName: () => randomBytes(8).toString('hex') }
}

function withEngine(
  directory: string,
  password: string,
  store: ObjectStore,
  repository: Repository,
  writing: Writing = {},
): LocalRepository {
  const index = new BlobIndex()
  const reader = createReader({ store, repository, index })

  const refresh = async () => {
    const live: string[] = []
    for await (const { key } of store.list(prefixOf('index'))) {
      const id = idOfKey(key)
      if (id) live.push(id)
    }
    await loadIndex({ repository, index, live, read: (id) => store.get(objectKey('index', id)) })
  }

  const write = async <T>(work: (writer: RepositoryWriter) => Promise<T>): Promise<T> => {
    const writer = createWriter({
      ...writing,
      repository,
      index,
      random: systemRandom,
      clock: systemClock,
      onPack: ({ id, bytes }) => store.put(objectKey('data', id), id, bytes),
      onIndex: ({ id, bytes }) => store.put(objectKey('index', id), id, bytes),
    })
    const result = await work(writer)
    await writer.flush()
    return result
  }

  const saveSnapshot = async (tree: string, paths: readonly string[]) => {
    const time = fromMilliseconds(systemClock.now())
    const json = encodeSnapshot({ time, tree, paths, hostname: 'test', username: 'root' })
    const { id, bytes } = sealUnpacked(repository.masterKey, json, systemRandom)
    await store.put(objectKey('snapshots', id), id, bytes)
    return id
  }

  return {
    directory,
    password,
    repository,
    store,
    index,
    reader,
    async elsewhere(place) {
      const store = createDirectoryStore(storeOptions(place))
      const local = withEngine(place, password, store, repository, writing)
      await local.refresh()
      return local
    },
    refresh,
    write,
    saveSnapshot,
    backup: async (source, more) => {
      const archived = await write((writer) =>
        archive({
          source,
          writer,
          loadTree: (id) => reader.loadBlob('tree', id),
          accounts: noAccounts,
          idShift: 0,
          isVolatile: () => false,
          onProgress: () => {},
          clock: systemClock,
          signal: new AbortController().signal,
          ...more,
        }),
      )
      const path = source.path.map((component) => `/${component.toString()}`).join('')
      return { ...archived, snapshot: await saveSnapshot(archived.tree, [path]) }
    },
  }
}
