// The verifier: all that `restic check` finds, and what it lets pass although a restore would go wrong.
import { type ObjectStore, StorageError } from '../storage/object-store.ts'
import { choosePacks, type ReadData, randomBelow } from './check-choice.ts'
import { findHarm } from './check-harm.ts'
import { type PackToCheck, packFaults } from './check-pack-data.ts'
import { checkListings, checkSizes, isContiguous, type ListedPacks } from './check-packs.ts'
import { type CheckReport, noHarm, type ProblemKind, ProblemList } from './check-report.ts'
import { checkTrees, packsBelow, readFailure } from './check-trees.ts'
import { openConfig } from './config-file.ts'
import { damaged, RepositoryError } from './errors.ts'
import { type Id, idOf, type Random } from './id.ts'
import { BlobIndex } from './index.ts'
import { parseKeyFile } from './key-file.ts'
import { configKey, idOfKey, type ObjectKind, objectKey, prefixOf } from './layout.ts'
import { addIndexFile } from './load-index.ts'
import { LostBlobs } from './lost-blobs.ts'
import { createOpeningRooms } from './opening-room.ts'
import { readAhead } from './read-ahead.ts'
import type { Repository } from './repository.ts'
import { decodeSnapshot, type Snapshot } from './snapshot.ts'
import { isSoundPack } from './sound-pack.ts'
import { openUnpacked } from './unpacked.ts'

/** Index files, snapshots and key files on their way while one is checked. */
const smallAhead = 4
/** Packs read at a time, a piece of each: the grants and first bytes of later ones come while earlier ones are opened. */
const lanes = 3
/** Pieces opened at a time: while one is hashed beside this thread, another is opened in it. */
const openings = 2
/** stock restic tries no more key files than this. */
const keysTried = 20
/** Names of harmed entries, unless more are asked for. */
const usualNames = 50

export interface CheckProgress {
  readonly phase: 'indexes' | 'snapshots' | 'trees' | 'packs' | 'harm'
  readonly done: number
  /** Unknown while trees are walked. */
  readonly total: number | undefined
  /** Bytes of packs read so far. */
  readonly bytes: number
}

export interface CheckOptions {
  readonly store: ObjectStore
  readonly repository: Repository
  /** Which packs to read whole. Defaults to none. Those of a wrong size are read in any case. */
  readonly readData?: ReadData
  /** Needed where something is to be chosen at random. */
  readonly random?: Random
  /** Snapshots that must be there. */
  readonly expected?: Iterable<Id>
  /** How many key files there must be at least. Defaults to the one that opened the repository. */
  readonly leastKeys?: number
  /** Names of harmed entries wanted at most. Defaults to 50. */
  readonly names?: number
  readonly onProgress?: (progress: CheckProgress) => void
  /** Stops the check with the signal's reason. */
  readonly signal?: AbortSignal
}

/**
 * Judge a whole repository without writing to it. Damage goes into the report; the promise rejects only when the
 * store cannot be read, because that says nothing about the repository. Hold a shared lock meanwhile.
 */
export async function check(options: CheckOptions): Promise<CheckReport> {
  return new Check(options).run()
}

class Check {
  readonly #options: CheckOptions
  readonly #problems = new ProblemList()
  readonly #index = new BlobIndex()
  /** Those that could be opened. */
  readonly #snapshots = new Map<Id, Snapshot>()
  #packsRead = 0
  #bytesRead = 0
  #snapshotRead: Id | undefined

  readonly #end = new AbortController()
  readonly #signal: AbortSignal

  constructor(options: CheckOptions) {
    this.#options = options
    const { signal } = options
    this.#signal =
      signal === undefined ? this.#end.signal : AbortSignal.any([signal, this.#end.signal])
  }

  async run(): Promise<CheckReport> {
    try {
      return await this.#run()
    } finally {
      // Whatever still goes on beside what failed is of no use to anybody.
      this.#end.abort(new RepositoryError('cancelled', 'the check is over'))
    }
  }

  /** What does not wait for another runs beside it: a store may be far away. */
  async #run(): Promise<CheckReport> {
    const { store } = this.#options
    const index = this.#index
    const problems = this.#problems
    const keys = this.#checkKeys()
    keys.catch(() => {}) // awaited below
    // Snapshots are listed before indexes: what a backup adds meanwhile is then indexed for every snapshot we saw.
    const snapshots = [...(await sizesOf(store, 'snapshots')).keys()]
    const indexFiles = [...(await sizesOf(store, 'index')).keys()]
    // And packs after indexes: what these list was there before.
    const [stored] = await Promise.all([
      sizesOf(store, 'data'),
      this.#readIndex(indexFiles),
      this.#readSnapshots(snapshots),
      keys,
    ])
    const packs = checkListings(index, problems)
    const wrongSize = checkSizes(packs, stored, problems)
    const lost = new LostBlobs(index, packs)
    for (const id of packs.sizes.keys()) if (!stored.has(id)) lost.addOf(id)
    const there = new Map([...packs.sizes].filter(([id]) => stored.has(id)))
    const read = async () => {
      const wanted = new Set([...wrongSize, ...(await this.#choose(there))])
      await this.#readPacks([...wanted], packs, wrongSize, lost)
    }
    const [trees] = await Promise.all([this.#walk(lost), read()])
    return {
      ok: problems.errors === 0,
      problems: problems.problems,
      errors: problems.errors,
      hints: problems.hints,
      damagedPacks: [...problems.damagedPacks],
      harm: problems.errors === 0 ? noHarm : await this.#findHarm(lost),
      snapshots: snapshots.length,
      trees,
      packs: packs.sizes.size,
      packsRead: this.#packsRead,
      bytesRead: this.#bytesRead,
      ...(this.#snapshotRead === undefined ? {} : { snapshotRead: this.#snapshotRead }),
      blobs: index.size,
      indexBytes: index.bytes,
    }
  }

  #tell(phase: CheckProgress['phase'], done: number, total: number | undefined): void {
    this.#signal.throwIfAborted()
    this.#options.onProgress?.({ phase, done, total, bytes: this.#bytesRead })
  }

  /** Every object of a kind, opened by `work`; what fails is a problem of that kind. */
  async #each(
    kind: ObjectKind,
    ids: readonly Id[],
    fault: ProblemKind,
    phase: 'indexes' | 'snapshots' | undefined,
    work: (id: Id, bytes: Uint8Array) => void,
  ): Promise<void> {
    const { store } = this.#options
    let done = 0
    const read = (id: Id) => store.get(objectKey(kind, id))
    for await (const { item: id, result } of readAhead(ids, read, smallAhead)) {
      this.#signal.throwIfAborted()
      try {
        // A second look tells a damaged object from a damaged transfer.
        await result.then((bytes) => work(id, bytes)).catch(async () => work(id, await read(id)))
      } catch (error) {
        this.#problems.add(fault, id, readFailure(error))
      }
      if (phase !== undefined) this.#tell(phase, ++done, ids.length)
    }
  }

  /** What opens the repository. One that was never opened from a store has neither config nor keys there. */
  async #checkKeys(): Promise<void> {
    const { store, repository, leastKeys = 1 } = this.#options
    const problems = this.#problems
    const ids = [...(await sizesOf(store, 'keys')).keys()]
    await this.#each('keys', ids, 'key-damaged', undefined, (id, bytes) => {
      if (idOf(bytes) !== id) throw damaged('content differs from the name')
      parseKeyFile(bytes)
    })
    if (ids.length > keysTried) problems.add('key-surplus', ids[keysTried]!, `${ids.length} files`)
    const { keyId } = repository
    if (keyId === undefined) return
    if (!ids.includes(keyId)) problems.add('key-missing', keyId)
    else if (ids.length < leastKeys) {
      problems.add('key-missing', repository.id, `${ids.length} key files instead of ${leastKeys}`)
    }
    const wrong = async () => {
      const { id, version, polynomial } = openConfig(
        repository.masterKey,
        await store.get(configKey),
      )
      const same =
        id === repository.id &&
        version === repository.version &&
        polynomial === repository.polynomial
      if (!same) throw damaged("the config is another repository's")
    }
    await wrong()
      .catch(wrong)
      .catch((error) => {
        const absent = error instanceof StorageError && error.code === 'absent'
        const detail = readFailure(error)
        if (absent) problems.add('config-missing', repository.id)
        else problems.add('config-damaged', repository.id, detail)
      })
  }

  #readIndex(files: readonly Id[]): Promise<void> {
    const { masterKey } = this.#options.repository
    return this.#each('index', files, 'index-damaged', 'indexes', (id, bytes) =>
      addIndexFile(this.#index, id, openUnpacked(masterKey, id, bytes)),
    )
  }

  async #readSnapshots(ids: readonly Id[]): Promise<void> {
    const { repository, expected = [] } = this.#options
    await this.#each('snapshots', ids, 'snapshot-damaged', 'snapshots', (id, bytes) => {
      this.#snapshots.set(id, decodeSnapshot(openUnpacked(repository.masterKey, id, bytes)))
    })
    const listed = new Set(ids)
    for (const id of expected) if (!listed.has(id)) this.#problems.add('snapshot-missing', id)
  }

  #walk(lost: LostBlobs): Promise<number> {
    const { store, repository } = this.#options
    const signal = this.#signal
    const onTree = (done: number) => this.#tell('trees', done, undefined)
    const problems = this.#problems
    const walk = { store, repository, index: this.#index, problems, lost, signal, onTree }
    return checkTrees(walk, this.#roots())
  }

  #roots(): Id[] {
    return [...this.#snapshots.values()].map(({ tree }) => tree)
  }

  /** Packs to be read, of those that are there. */
  async #choose(there: ReadonlyMap<Id, number>): Promise<Id[]> {
    const { store, repository, readData = false, random = noChance } = this.#options
    if (typeof readData === 'boolean' || !('snapshot' in readData)) {
      return choosePacks(there, readData, random)
    }
    const all = [...this.#snapshots.keys()].sort()
    const { snapshot: wish } = readData
    const id = wish === 'random' ? all[randomBelow(random, all.length)] : wish
    if (id === undefined) return []
    const snapshot = this.#snapshots.get(id)
    if (snapshot === undefined) {
      const known = this.#problems.problems.some((problem) => problem.id === id)
      if (!known) this.#problems.add('snapshot-missing', id)
      return []
    }
    this.#snapshotRead = id
    const walk = { store, repository, index: this.#index, signal: this.#signal }
    const packs = await packsBelow(walk, snapshot.tree)
    return [...packs].filter((pack) => there.has(pack))
  }

  async #readPacks(
    wanted: readonly Id[],
    packs: ListedPacks,
    wrongSize: ReadonlySet<Id>,
    lost: LostBlobs,
  ): Promise<void> {
    const { store, repository } = this.#options
    const rooms = createOpeningRooms(openings)
    let next = 0
    const lane = async () => {
      for (let id = wanted[next++]; id !== undefined; id = wanted[next++]) {
        const pack = { id, blobs: packs.blobsOf(id) }
        const size = packs.sizes.get(id)!
        const regular = !wrongSize.has(id) && isContiguous(pack.blobs)
        const quick = { store, key: repository.masterKey, pack, size, rooms }
        if (regular && (await isSoundPack(quick))) this.#bytesRead += size
        else await this.#judge(pack, lost)
        this.#tell('packs', ++this.#packsRead, wanted.length)
      }
    }
    await Promise.all(Array.from({ length: lanes }, lane))
    rooms.close()
  }

  /** What is wrong with a pack. A first look is not enough: it may have been the transfer that was damaged. */
  async #judge(pack: PackToCheck, lost: LostBlobs): Promise<void> {
    const { store, repository } = this.#options
    const problems = this.#problems
    const { id } = pack
    try {
      const bytes = await store.get(objectKey('data', id))
      const faults = packFaults(repository.masterKey, pack, bytes)
      this.#bytesRead += bytes.length
      if (faults.length > 0) problems.damagedPacks.add(id)
      for (const { blob, detail } of faults) {
        if (blob === undefined) problems.add('pack-damaged', id, detail)
        else {
          problems.add('blob-damaged', blob.id, `in pack ${id}: ${detail}`)
          lost.addOf(id, blob)
        }
      }
    } catch (error) {
      // Gone between the listing and now, or cut short in every transfer.
      problems.add('pack-damaged', id, readFailure(error))
      problems.damagedPacks.add(id)
      lost.addOf(id)
    }
  }

  /** Newest snapshots first: theirs are the names that people look for. */
  #findHarm(lost: LostBlobs) {
    const { store, repository, names: most = usualNames } = this.#options
    const signal = this.#signal
    const roots = [...this.#snapshots]
      .sort(([, a], [, b]) => (a.time < b.time ? 1 : a.time > b.time ? -1 : 0))
      .map(([id, { tree }]) => ({ id, tree }))
    this.#tell('harm', 0, roots.length)
    return findHarm({ store, repository, index: this.#index, lost, most, signal }, roots)
  }
}

function noChance(): never {
  throw new RepositoryError('invalid-input', 'a random choice needs randomness')
}

async function sizesOf(store: ObjectStore, kind: ObjectKind): Promise<Map<Id, number>> {
  const sizes = new Map<Id, number>()
  for await (const { key, bytes } of store.list(prefixOf(kind))) {
    const id = idOfKey(key)
    if (id !== undefined) sizes.set(id, bytes)
  }
  return sizes
}
