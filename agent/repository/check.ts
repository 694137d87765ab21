// The verifier: all that `restic check` finds, and what it lets pass although a restore would go wrong.
import type { ObjectStore } from '../storage/object-store.ts'
import { checkListings, checkPackData, checkSizes } from './check-packs.ts'
import { type CheckReport, type ProblemKind, ProblemList } from './check-report.ts'
import { checkTrees, readFailure } from './check-trees.ts'
import { damaged } from './errors.ts'
import { type Id, idOf } from './id.ts'
import { BlobIndex } from './index.ts'
import { decodeIndex } from './index-file.ts'
import { idOfKey, type ObjectKind, objectKey, prefixOf } from './layout.ts'
import { readAhead } from './read-ahead.ts'
import { createReader } from './reader.ts'
import type { Repository } from './repository.ts'
import { decodeSnapshot } from './snapshot.ts'
import { openUnpacked } from './unpacked.ts'

/** Index files, snapshots and key files on their way while one is checked. */
const smallAhead = 4
/** Packs on their way while one is checked, each about 16 MiB. */
const packsAhead = 1

export interface CheckProgress {
  readonly phase: 'indexes' | 'snapshots' | 'trees' | 'packs'
  readonly done: number
  /** Unknown while trees are walked. */
  readonly total: number | undefined
}

export interface CheckOptions {
  readonly store: ObjectStore
  readonly repository: Repository
  /** Read every pack whole, or those it answers true for. Defaults to none. */
  readonly readData?: boolean | ((pack: Id) => boolean)
  readonly onProgress?: (progress: CheckProgress) => void
  /** Stops the check with the signal's reason. */
  readonly signal?: AbortSignal
}

/**
 * Judge a whole repository without writing to it. Damage goes into the report; the promise rejects only when the
 * store cannot be read, because that says nothing about the repository. Hold a shared lock meanwhile.
 */
export async function check(options: CheckOptions): Promise<CheckReport> {
  const { store, repository, readData = false, onProgress, signal } = options
  const problems = new ProblemList()
  const key = repository.masterKey

  /** Every object of a kind, opened by `work`; what fails is a problem of that kind. */
  async function each(
    kind: ObjectKind,
    ids: readonly Id[],
    fault: ProblemKind,
    phase: CheckProgress['phase'] | undefined,
    work: (id: Id, bytes: Uint8Array) => void,
  ): Promise<void> {
    let done = 0
    const read = (id: Id) => store.get(objectKey(kind, id))
    for await (const { item: id, result } of readAhead(ids, read, smallAhead)) {
      signal?.throwIfAborted()
      try {
        // A second look tells a damaged object from a damaged transfer.
        await result.then((bytes) => work(id, bytes)).catch(async () => work(id, await read(id)))
      } catch (error) {
        problems.add(fault, id, readFailure(error))
      }
      if (phase !== undefined) onProgress?.({ phase, done: ++done, total: ids.length })
    }
  }

  // Snapshots are listed before indexes: what a backup adds meanwhile is then indexed for every snapshot we saw.
  const snapshots = [...(await sizesOf(store, 'snapshots')).keys()]
  const indexFiles = [...(await sizesOf(store, 'index')).keys()]
  const keyFiles = [...(await sizesOf(store, 'keys')).keys()]

  await each('keys', keyFiles, 'key-damaged', undefined, (id, bytes) => {
    if (idOf(bytes) !== id) throw damaged('content differs from the name')
  })
  const index = new BlobIndex()
  await each('index', indexFiles, 'index-damaged', 'indexes', (id, bytes) => {
    index.addFile(id, decodeIndex(openUnpacked(key, id, bytes)))
  })
  const packs = checkListings(index, problems)
  const stored = await sizesOf(store, 'data')
  checkSizes(packs, stored, problems)

  const roots: Id[] = []
  await each('snapshots', snapshots, 'snapshot-damaged', 'snapshots', (id, bytes) => {
    roots.push(decodeSnapshot(openUnpacked(key, id, bytes)).tree)
  })
  const reader = createReader({ store, repository, index })
  const onTree = (done: number) => onProgress?.({ phase: 'trees', done, total: undefined })
  const trees = await checkTrees({ reader, index, problems, signal, onTree }, roots)

  // Packs known to be missing are not asked for; those of the wrong size are, to say which blobs suffered.
  const chosen = typeof readData === 'function' ? readData : () => readData
  const wanted = [...packs.sizes.keys()].filter((id) => stored.has(id) && chosen(id))
  const read = (id: Id) => store.get(objectKey('data', id))
  let bytesRead = 0
  let packsRead = 0
  for await (const { item: id, result } of readAhead(wanted, read, packsAhead)) {
    signal?.throwIfAborted()
    try {
      const pack = { id, blobs: packs.blobsOf(id) }
      const again = () => read(id)
      bytesRead += await checkPackData({ repository, problems, again }, pack, await result)
    } catch (error) {
      problems.add('pack-damaged', id, readFailure(error))
      problems.damagedPacks.add(id)
    }
    packsRead++
    onProgress?.({ phase: 'packs', done: packsRead, total: wanted.length })
  }

  return {
    ok: problems.errors === 0,
    problems: problems.problems,
    errors: problems.errors,
    hints: problems.hints,
    damagedPacks: [...problems.damagedPacks],
    snapshots: snapshots.length,
    trees,
    packs: packs.sizes.size,
    packsRead,
    bytesRead,
  }
}

async function sizesOf(store: ObjectStore, kind: ObjectKind): Promise<Map<Id, number>> {
  const sizes = new Map<Id, number>()
  for await (const { key, bytes } of store.list(prefixOf(kind))) {
    const id = idOfKey(key)
    if (id !== undefined) sizes.set(id, bytes)
  }
  return sizes
}
