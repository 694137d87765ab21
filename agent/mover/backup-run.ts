// The backups of a batch under one lock: archived one after the other into waves; each wave stored, listed, committed.

import { MINUTE } from '../../shared/clock.ts'
import { type CachedKind, openCache, type RepositoryCache } from '../repository/cache.ts'
import type { Id } from '../repository/id.ts'
import { BlobIndex } from '../repository/index.ts'
import { objectKey } from '../repository/layout.ts'
import type { Repository } from '../repository/repository.ts'
import { createWriter, type RepositoryWriter } from '../repository/writer.ts'
import { type ArchivedJob, archiveJob, type OpenedRepository } from './archive-job.ts'
import type { Batch, JobOf } from './batch.ts'
import {
  type Archived,
  commit,
  endOf,
  type StoredIndex,
  type StoredPack,
  sealSnapshot,
  tellUploading,
} from './commit.ts'
import { fail, isWriterFault } from './fail.ts'
import { JobFailure } from './job-failure.ts'
import { type MemoryPlan, planNow, usualPlan } from './memory-plan.ts'
import type { PackJournal } from './pack-journal.ts'
import type { AttemptOf } from './plane.ts'
import { createPlaneStore } from './plane-store.ts'
import { Refusal } from './refusal.ts'
import { findAgain, storedNow } from './resume.ts'
import { sourceIdentity } from './source-identity.ts'
import { syncIndex } from './sync-index.ts'
import { createTreeReader, packsOfTree } from './tree-packs.ts'

export type BackupJob = JobOf<'backup'>

/** Archived jobs wait no longer than this for their snapshot: a crash loses ten minutes, as with restic's index. */
const waveAge = 10 * MINUTE
/** Claims of one job: prunes may overtake it, and what it relied on may have to be stored again. */
const claimRounds = 4

/** The work under one lock. */
export class BackupRun {
  readonly #batch: Batch
  readonly #repository: Repository
  readonly #journal: PackJournal
  readonly #jobs: readonly BackupJob[]
  readonly #speaker: () => AttemptOf
  readonly #signal: AbortSignal
  readonly #index = new BlobIndex()
  #cache!: RepositoryCache
  #opened!: OpenedRepository
  #epoch = 0
  /** Stored by this run, in order; what an accepted commit claimed is cut off the front. */
  readonly #packs: StoredPack[] = []
  readonly #indexes: StoredIndex[] = []
  /** Of those, what is not listed any more. */
  readonly #gone = new Set<Id>()
  #claimedPacks = 0
  #claimedIndexes = 0
  /** What made the writer unusable, if it is. */
  #broken: { readonly cause: unknown } | undefined
  #wave: Archived[] = []
  #waveBegun = 0

  constructor(
    batch: Batch,
    repository: Repository,
    journal: PackJournal,
    jobs: readonly BackupJob[],
    speaker: () => AttemptOf,
    signal: AbortSignal,
  ) {
    this.#batch = batch
    this.#repository = repository
    this.#journal = journal
    this.#jobs = jobs
    this.#speaker = speaker
    this.#signal = signal
  }

  async run(): Promise<void> {
    const { clock } = this.#batch
    await this.#open()
    const { writer } = this.#opened
    const unfollow = this.#batch.limits.follow((limits) => {
      const { workers, uploads } = planNow(limits, this.#index.size)
      writer.setWorkers(workers)
      writer.setUploads(uploads)
    })
    try {
      this.#waveBegun = clock.monotonic()
      for (const job of this.#jobs) {
        this.#signal.throwIfAborted()
        await this.#archive(job)
        if (clock.monotonic() - this.#waveBegun >= waveAge) await this.#commitWave()
      }
      await this.#commitWave()
    } finally {
      unfollow()
      await writer.close()
    }
  }

  async #open(): Promise<void> {
    const batch = this.#batch
    const repository = this.#repository
    const index = this.#index
    const cache = await openCache(batch.start.paths.cache, batch.bytes)
    this.#cache = cache
    await this.#sync()
    // Before any work: what cannot be kept is not begun.
    const plan = usualPlan(batch.limits.now, index.size)
    this.#opened = {
      repository,
      index,
      cache,
      trees: createTreeReader({
        repository,
        index,
        cache,
        store: createPlaneStore(batch, this.#speaker(), this.#signal),
        keep: (id, bytes) => this.#keep('packs', id, bytes),
      }),
      writer: this.#createWriter(plan),
    }
    await this.#resume()
  }

  /** Take up the packs that killed runs stored and did not list, as far as they are in the store now. */
  async #resume(): Promise<void> {
    const { left } = this.#journal
    if (left.length === 0) return
    const batch = this.#batch
    const [attempt, signal] = [this.#speaker(), this.#signal]
    const { there, gone } = await findAgain(batch.plane, attempt, left, this.#index, signal)
    await this.#note(this.#journal.drop(gone))
    for (const pack of there) {
      this.#opened.writer.adoptPack(pack)
      this.#packs.push({ id: pack.id, bytes: pack.bytes, type: pack.type })
    }
    batch.log('info', 'Packs of a run that died were found again', {
      count: there.length,
      bytes: there.reduce((sum, pack) => sum + pack.bytes, 0),
      gone: gone.length,
    })
  }

  /** A journal that cannot be written costs the next run some bytes and this one nothing. */
  async #note(work: Promise<void>): Promise<void> {
    try {
      await work
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'unknown'
      this.#batch.log('warn', 'The journal of stored packs could not be written', { code })
    }
  }

  async #sync(): Promise<void> {
    const batch = this.#batch
    const [repository, index, cache] = [this.#repository, this.#index, this.#cache]
    const attempt = this.#speaker()
    const signal = this.#signal
    const synced = await syncIndex({ batch, attempt, repository, index, cache, signal })
    this.#epoch = synced.epoch
    const { fetched, dropped } = synced
    if (fetched > 0)
      batch.log('info', 'Index files were fetched from the store', { count: fetched })
    if (dropped > 0) batch.log('info', 'Index files are gone from the store', { count: dropped })
  }

  #createWriter({ uploads, workers }: MemoryPlan): RepositoryWriter {
    const { store, bytes, clock } = this.#batch
    const signal = this.#signal
    const remember = async (work: Promise<void>): Promise<void> => {
      try {
        await work
      } catch (cause) {
        this.#broken ??= { cause }
        throw cause
      }
    }
    return createWriter({
      repository: this.#repository,
      index: this.#index,
      random: bytes,
      clock,
      uploads,
      workers,
      onPack: async (pack) => {
        const { id, type } = pack
        await remember(store.put(objectKey('data', id), id, pack.bytes, { type, signal }))
        // Only what is stored is kept here: a cache that knew more would promise what nobody has.
        this.#packs.push({ id: pack.id, bytes: pack.bytes.length, type: pack.type })
        await this.#note(
          this.#journal.add({ id, type, bytes: pack.bytes.length, blobs: pack.blobs }),
        )
        if (pack.type === 'tree') await this.#keep('packs', pack.id, pack.bytes)
      },
      onIndex: async (file) => {
        await remember(store.put(objectKey('index', file.id), file.id, file.bytes, { signal }))
        this.#indexes.push({ id: file.id, bytes: file.bytes.length })
        await this.#note(this.#journal.drop(file.packs))
        await this.#keep('index', file.id, file.bytes)
      },
    })
  }

  /** A cache that cannot be written costs the next run time and this one nothing. */
  async #keep(kind: CachedKind, id: Id, bytes: Uint8Array): Promise<void> {
    try {
      await this.#cache.add(kind, id, bytes)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'unknown'
      this.#batch.log('warn', 'An object could not be kept in the cache', { code })
    }
  }

  /** Archive one job into the wave. What concerns this job alone ends it; what concerns all is thrown. */
  async #archive(job: BackupJob): Promise<void> {
    const batch = this.#batch
    const packsBefore = this.#packs.length
    const signal = AbortSignal.any([job.signal, this.#signal])
    try {
      signal.throwIfAborted()
      batch.speak(job.attempt)
      const identity = sourceIdentity(job)
      const done = await archiveJob(batch, this.#opened, job, signal)
      this.#wave.push({ done, packsBefore, identity, epoch: this.#epoch, again: false })
    } catch (error) {
      this.#signal.throwIfAborted()
      if (this.#broken !== undefined) throw this.#broken.cause
      if (isWriterFault(error)) throw error
      await fail(batch, job, error)
    } finally {
      await batch.reporter.released(job.assigned.id)
    }
  }

  /** Store and index everything that was saved, then make the snapshots. */
  async #commitWave(): Promise<void> {
    const batch = this.#batch
    const wave = this.#wave
    this.#wave = []
    if (wave.length === 0) return
    batch.speak(this.#speaker())
    for (const { done } of wave) tellUploading(batch, done)
    await this.#opened.writer.flush()
    // If we die here every blob is stored and indexed: the next run finds them and sends nothing twice.
    for (const one of wave) {
      this.#signal.throwIfAborted()
      const { job } = one.done
      try {
        job.signal.throwIfAborted()
        batch.speak(job.attempt)
        await this.#commit(one)
        await batch.reporter.done(job.assigned.id, await endOf(batch, one.done))
      } catch (error) {
        this.#signal.throwIfAborted()
        await fail(batch, job, error)
      }
    }
    this.#waveBegun = batch.clock.monotonic()
  }

  async #commit(one: Archived): Promise<void> {
    const batch = this.#batch
    let snapshot = sealSnapshot(batch, this.#repository, one.done)
    let refers = this.#refersOf(one)
    for (let round = 1; ; round++) {
      if (one.epoch !== this.#epoch) {
        const before = one.done
        refers = await this.#lookAgain(one)
        if (one.done !== before) snapshot = sealSnapshot(batch, this.#repository, one.done)
      }
      const upTo = { packs: this.#packs.length, indexes: this.#indexes.length }
      const packs = this.#packs.slice(this.#claimedPacks).filter(({ id }) => !this.#gone.has(id))
      const indexes = this.#indexes
        .slice(this.#claimedIndexes)
        .filter(({ id }) => !this.#gone.has(id))
      try {
        await commit(batch, one.done, snapshot, { epoch: this.#epoch, packs, indexes, refers })
        this.#claimedPacks = upTo.packs
        this.#claimedIndexes = upTo.indexes
        break
      } catch (error) {
        if (!(error instanceof Refusal) || round === claimRounds) throw error
        if (error.code === 'claims-missing') await this.#findMissing(one, packs, indexes)
        else if (error.code !== 'epoch-stale') throw error
        await this.#sync()
      }
    }
    // If we die here the snapshot exists without our `done`: the control plane knows its job from the commit.
    await batch.cache.add('snapshots', snapshot.id, snapshot.bytes).catch(() => {
      batch.log('warn', 'A snapshot could not be kept in the cache')
    })
  }

  #refersOf({ done, packsBefore }: Archived): Id[] {
    // What waited in an open pack when the job began was stored after it, so this misses nothing.
    const stored = this.#packs.slice(packsBefore).map((pack) => pack.id)
    return [...new Set([...done.foundPacks, ...stored])]
  }

  /** The index was listed anew since: what does the job refer to in it? Archives it again if something is gone. */
  async #lookAgain(one: Archived): Promise<Id[]> {
    const { trees, index, writer } = this.#opened
    const known = () => packsOfTree(one.done.archived.tree, trees, index, this.#signal)
    this.#forgetUnlisted()
    let packs = await known()
    if (packs === undefined && !one.again) {
      one.again = true
      one.packsBefore = this.#packs.length
      one.done = await this.#archiveAgain(one)
      await writer.flush()
      packs = await known()
    }
    if (packs === undefined) {
      throw new JobFailure(
        'commit-refused',
        'data this snapshot relies on was taken away twice; the next run stores it again',
      )
    }
    one.epoch = this.#epoch
    return [...packs]
  }

  async #archiveAgain({ done, identity }: Archived): Promise<ArchivedJob> {
    const batch = this.#batch
    const { job } = done
    const signal = AbortSignal.any([job.signal, this.#signal])
    const isSame = () => sourceIdentity(job) === identity
    if (isSame()) {
      batch.log('info', 'A prune took data away; the source is read again', {
        job: job.assigned.id,
      })
      const again = await archiveJob(batch, this.#opened, job, signal)
      if (isSame()) return again
    }
    // It was let go of when it had been read: what shows in its place now is not the source.
    throw new JobFailure(
      'commit-refused',
      'a prune took away data this snapshot relies on; the next run stores it again',
    )
  }

  /** Of what we stored, the packs and index files that a prune has put out of the index need no claim. */
  #forgetUnlisted(): void {
    const { index } = this.#opened
    const listed = new Set<Id>()
    for (let i = 0; i < index.listingCount; i++) {
      const listing = index.listing(i)
      if (listing !== undefined) listed.add(listing.id)
    }
    for (const { id } of this.#packs) if (!listed.has(id)) this.#gone.add(id)
    for (const { id } of this.#indexes) if (!index.hasFile(id)) this.#gone.add(id)
  }

  /**
   * Which claims are missing? An index file that vanished is forgotten by the next listing, and what only it listed
   * is stored again. A pack that vanished while an index file lists it is damage that no run of ours can mend.
   */
  async #findMissing(
    one: Archived,
    packs: readonly StoredPack[],
    indexes: readonly StoredIndex[],
  ): Promise<void> {
    const batch = this.#batch
    const { attempt } = one.done.job
    const there = await storedNow(
      batch.plane,
      attempt,
      [
        ...packs.map((pack) => ({ what: 'pack' as const, ...pack })),
        ...indexes.map((index) => ({ what: 'index' as const, ...index })),
      ],
      this.#signal,
    )
    const lost = indexes.filter(({ id }) => !there.has(id))
    batch.log('warn', 'What was stored is not there any more', {
      count: packs.filter(({ id }) => !there.has(id)).length + lost.length,
    })
    for (const { id } of lost) this.#opened.index.removeFile(id)
    this.#forgetUnlisted()
    const harmed = packs.filter(({ id }) => !there.has(id) && !this.#gone.has(id))
    if (harmed.length > 0) {
      throw new JobFailure(
        'repository-damaged',
        `${harmed.length} packs vanished from the store although an index file lists them; verify the repository`,
      )
    }
    one.epoch = undefined
  }
}
