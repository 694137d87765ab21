// A small repository with everything in it, ways to damage its objects, and the truth about what can be restored then.
import { check } from '../../agent/repository/check.ts'
import type { CheckReport } from '../../agent/repository/check-report.ts'
import { RepositoryError } from '../../agent/repository/errors.ts'
import type { Id } from '../../agent/repository/id.ts'
import { BlobIndex } from '../../agent/repository/index.ts'
import { idOfKey, objectKey } from '../../agent/repository/layout.ts'
import { loadIndex } from '../../agent/repository/load-index.ts'
import { createReader } from '../../agent/repository/reader.ts'
import { createRepository, type Repository } from '../../agent/repository/repository.ts'
import { decodeSnapshot, encodeSnapshot } from '../../agent/repository/snapshot.ts'
import type { TreeNode } from '../../agent/repository/tree.ts'
import { openUnpacked, sealUnpacked } from '../../agent/repository/unpacked.ts'
import { createWriter } from '../../agent/repository/writer.ts'
import { createMemoryStore, type MemoryStore } from '../../agent/storage/memory.ts'
import { StorageError } from '../../agent/storage/object-store.ts'
import { directoryNode, fileNode } from '../support/scratch-repository.ts'
import { createSeeded, type Seeded } from '../support/seeded.ts'

export interface World {
  readonly repository: Repository
  readonly password: string
  readonly objects: ReadonlyMap<string, Buffer>
  readonly snapshots: readonly Id[]
  /** `<snapshot> <path>` of every file, with its content. */
  readonly files: ReadonlyMap<string, Buffer>
}

type Tree = Map<string, Buffer | Tree>

/** Three snapshots of a tree that changes, each with packs and an index file of its own; some blobs lie in two packs. */
export async function makeWorld(seed: string): Promise<World> {
  const seeded = createSeeded(seed)
  const store = createMemoryStore()
  const password = 'damage'
  const basics = { random: (n: number) => seeded.bytes(n), clock: { now: () => 0 } }
  const repository = await createRepository({
    ...basics,
    store,
    passwords: [password, 'another'],
    hostname: 'h',
    username: 'u',
  })
  const [keyFile] = [...store.objects.keys()].filter((key) => key.startsWith('keys/'))
  const opened = { ...repository, keyId: idOfKey(keyFile!) }
  const snapshots: Id[] = []
  const files = new Map<string, Buffer>()
  const tree = firstTree(seeded)
  let index = new BlobIndex()
  for (let round = 0; round < 3; round++) {
    // The last one was made by a host that knew nothing of what was stored: its blobs lie in two packs.
    if (round === 2) index = new BlobIndex()
    else changeSome(tree, seeded)
    const writer = createWriter({
      ...basics,
      repository,
      index,
      onPack: ({ id, bytes }) => store.put(objectKey('data', id), id, bytes),
      onIndex: ({ id, bytes }) => store.put(objectKey('index', id), id, bytes),
    })
    const save = async (part: Tree): Promise<Id> => {
      const nodes: TreeNode[] = []
      for (const [name, content] of part) {
        if (content instanceof Map) nodes.push(directoryNode(name, await save(content)))
        else {
          const saved = await writer.saveFile([content])
          nodes.push(fileNode(name, [...saved.content], saved.size))
        }
      }
      nodes.sort((a, b) => Buffer.compare(a.name, b.name))
      return (await writer.saveTree(nodes)).id
    }
    const root = await save(tree)
    await writer.flush()
    const time = 1_700_000_000_000_000_000n + BigInt(round) * 1_000_000_000n
    const json = encodeSnapshot({ time, tree: root, paths: ['/x'] })
    const { id, bytes } = sealUnpacked(repository.masterKey, json, basics.random)
    await store.put(objectKey('snapshots', id), id, bytes)
    snapshots.push(id)
    for (const [path, content] of listed(tree)) files.set(`${id} ${path}`, content)
  }
  return { repository: opened, password, objects: store.objects, snapshots, files }
}

function firstTree(seeded: Seeded): Tree {
  const tree: Tree = new Map()
  for (let d = 0; d < 4; d++) {
    const directory: Tree = new Map()
    for (let f = 0; f < 6; f++) directory.set(`f${f}`, someContent(seeded))
    const deep: Tree = new Map([['deep', someContent(seeded)]])
    directory.set('below', deep)
    tree.set(`d${d}`, directory)
  }
  tree.set('empty', Buffer.alloc(0))
  return tree
}

function someContent(seeded: Seeded): Buffer {
  const length = seeded.oneIn(12) ? seeded.between(600_000, 900_000) : seeded.between(1, 20_000)
  return seeded.oneIn(2) ? seeded.bytes(length) : Buffer.alloc(length, `${length} rows of text\n`)
}

function changeSome(tree: Tree, seeded: Seeded): void {
  for (const part of tree.values()) {
    if (part instanceof Map && seeded.oneIn(2))
      part.set(`f${seeded.between(0, 7)}`, someContent(seeded))
  }
}

function* listed(tree: Tree, above = ''): Generator<[string, Buffer]> {
  for (const [name, content] of tree) {
    if (content instanceof Map) yield* listed(content, `${above}${name}/`)
    else yield [`${above}${name}`, content]
  }
}

/** What was done, for whoever reads a failure. */
export type Damage = string

const ways: readonly {
  readonly name: string
  change(bytes: Buffer, seeded: Seeded, other: Buffer): Buffer | undefined
}[] = [
  {
    name: 'a bit flipped',
    change(bytes, seeded) {
      const changed = Buffer.from(bytes)
      changed[seeded.between(0, bytes.length - 1)]! ^= 1 << seeded.between(0, 7)
      return changed
    },
  },
  {
    name: 'a stretch overwritten',
    change(bytes, seeded) {
      const changed = Buffer.from(bytes)
      const from = seeded.between(0, bytes.length - 1)
      const noise = seeded.bytes(Math.min(seeded.between(1, 4096), bytes.length - from))
      noise.copy(changed, from)
      return changed
    },
  },
  {
    name: 'a block of zeros',
    change(bytes, seeded) {
      const from = seeded.between(0, bytes.length - 1)
      return Buffer.from(bytes).fill(0, from, Math.min(from + 512, bytes.length))
    },
  },
  {
    name: 'cut short',
    change: (bytes, seeded) => bytes.subarray(0, seeded.between(0, bytes.length - 1)),
  },
  {
    name: 'bytes added',
    change: (bytes, seeded) => Buffer.concat([bytes, seeded.bytes(seeded.between(1, 100))]),
  },
  { name: 'another object in its place', change: (_bytes, _seeded, other) => other },
  { name: 'removed', change: () => undefined },
]

/** Damage one object, or two that change places. Returns what was done. */
export function damageOne(objects: Map<string, Buffer>, seeded: Seeded): Damage {
  const kind = seeded.pick(['data/', 'data/', 'data/', 'index/', 'snapshots/', 'keys/', 'config'])
  const keys = [...objects.keys()].filter((key) => key.startsWith(kind)).sort()
  if (keys.length === 0) return damageOne(objects, seeded)
  const key = seeded.pick(keys)
  const bytes = objects.get(key)!
  const others = [...objects.keys()].sort()
  const otherKey = seeded.pick(seeded.oneIn(2) && keys.length > 1 ? keys : others)
  const other = objects.get(otherKey)!
  if (seeded.oneIn(7)) {
    if (other.equals(bytes)) return damageOne(objects, seeded)
    objects.set(key, other)
    objects.set(otherKey, bytes)
    return `${key} and ${otherKey} changed places`
  }
  const way = seeded.pick(ways)
  const changed = bytes.length === 0 ? undefined : way.change(bytes, seeded, other)
  if (changed?.equals(bytes)) return damageOne(objects, seeded)
  if (changed === undefined) objects.delete(key)
  else objects.set(key, changed)
  return `${way.name}: ${key}`
}

export function storeOf(objects: Map<string, Buffer>): MemoryStore {
  const store = createMemoryStore()
  for (const [key, bytes] of objects) store.objects.set(key, bytes)
  return store
}

/** A check of everything, with a name for every harmed file. */
export function verify(world: World, store: MemoryStore): Promise<CheckReport> {
  const { repository, snapshots: expected } = world
  return check({ store, repository, readData: true, expected, leastKeys: 2, names: 100_000 })
}

/** Which of the world's files the report names: by their own paths, their lost directories, their lost snapshots. */
export function namedBy(world: World, { harm, problems }: CheckReport): Set<string> {
  const named = new Set<string>()
  const below = (prefix: string) => {
    for (const file of world.files.keys()) if (file.startsWith(prefix)) named.add(file)
  }
  for (const { what, path, snapshots } of harm.named) {
    for (const snapshot of snapshots) {
      const file = `${snapshot} ${path.toString()}`
      if (what !== 'directory-lost') named.add(file)
      else below(path.length === 0 ? file : `${file}/`)
    }
  }
  for (const { kind, id } of problems) {
    if (kind === 'snapshot-missing' || kind === 'snapshot-damaged') below(`${id} `)
  }
  return named
}

/** The truth: which of the world's files do not come back, when all that can be opened is used. */
export async function unrestorable(world: World, store: MemoryStore): Promise<Set<string>> {
  const { repository } = world
  const index = new BlobIndex()
  const live = [...store.objects.keys()].filter((key) => key.startsWith('index/'))
  await loadIndex({
    repository,
    index,
    live: live.map((key) => idOfKey(key)!),
    read: (id) => store.get(objectKey('index', id)),
    onDamaged: () => {},
  })
  const reader = createReader({ store, repository, index })
  const restored = new Set<string>()

  async function restore(snapshot: Id, tree: Id, above: string): Promise<void> {
    for (const node of await reader.loadTree(tree)) {
      const path = `${above}${node.name.toString()}`
      await attempt(async () => {
        if (node.type === 'dir') return restore(snapshot, node.subtree!, `${path}/`)
        const parts: Buffer[] = []
        for await (const part of reader.loadFile(node.content!)) parts.push(Buffer.from(part))
        const file = `${snapshot} ${path}`
        if (Buffer.concat(parts).equals(world.files.get(file)!)) restored.add(file)
      })
    }
  }

  for (const id of world.snapshots) {
    await attempt(async () => {
      const bytes = await store.get(objectKey('snapshots', id))
      const { tree } = decodeSnapshot(openUnpacked(repository.masterKey, id, bytes))
      await restore(id, tree, '')
    })
  }
  return new Set([...world.files.keys()].filter((file) => !restored.has(file)))
}

async function attempt(work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (error instanceof RepositoryError || error instanceof StorageError) return
    throw error
  }
}
