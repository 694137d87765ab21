// The backups of a batch: one lock, one index, one writer; a snapshot each.
import { join } from 'node:path'
import { MINUTE } from '../../shared/clock.ts'
import { type CachedKind, openCache } from '../repository/cache.ts'
import { RepositoryError } from '../repository/errors.ts'
import type { Id } from '../repository/id.ts'
import { BlobIndex } from '../repository/index.ts'
import { objectKey } from '../repository/layout.ts'
import type { Repository } from '../repository/repository.ts'
import { createWriter, type RepositoryWriter } from '../repository/writer.ts'
import { type ArchivedJob, archiveJob, type OpenedRepository } from './archive-job.ts'
import type { Batch, JobOf } from './batch.ts'
import { commit, endOf, type StoredIndex, type StoredPack, sealSnapshot } from './commit.ts'
import { JobFailure } from './job-failure.ts'
import { LockLostError, takeLock } from './lock.ts'
import { openRepository } from './open-repository.ts'
import { openPackJournal, type PackJournal } from './pack-journal.ts'
import type { AttemptOf } from './plane.ts'
import { createPlaneStore } from './plane-store.ts'
import { Refusal } from './refusal.ts'
import { findAgain } from './resume.ts'
import { syncIndex } from './sync-index.ts'
import { createTreeReader, isWhollyKnown } from './tree-packs.ts'

type BackupJob = JobOf<'backup'>

/** Archived jobs wait no longer than this for their snapshot: a crash loses ten minutes, as with restic's index. */
const waveAge = 10 * MINUTE
/** Locks lost in one batch before it gives up; each took twenty minutes of silence. */
const lockRounds = 3
/** Prunes that may overtake one commit. */
const epochRounds = 3
/** Packs on their way at a time: what a 1 Gbit/s path needs, at 16 MiB of memory each. */
const uploads = 3

/** Every job has its `done` when this resolves, unless the batch as a whole was stopped. */
export async function runBackups(batch: Batch, jobs: readonly BackupJob[]): Promise<void> {
  const open = () => jobs.filter((job) => !batch.reporter.isDone(job.assigned.id))
  try {
    if (batch.start.recoveryRecipient === undefined) {
      throw new JobFailure('no-recovery-recipient', 'no recovery recipient is pinned on this host')
    }
    for (let round = 1; open().length > 0; round++) {
      try {
        await underLock(batch, open())
      } catch (error) {
        if (!(error instanceof LockLostError) || round === lockRounds) throw error
        batch.log('warn', 'The lock was lost; beginning again', { attempts: round })
      }
    }
  } catch (error) {
    batch.signal.throwIfAborted()
    for (const job of open()) await fail(batch, job, error)
  }
}

/** A cancelled job is cancelled, whatever else went wrong around it. */
function fail(batch: Batch, job: BackupJob, error: unknown): Promise<void> {
  return batch.reporter.failed(job.assigned.id, job.signal.aborted ? job.signal.reason : error)
}

async function underLock(batch: Batch, jobs: readonly BackupJob[]): Promise<void> {
  const first = jobs[0]!
  /** Whoever is not done yet may speak for the batch. */
  const speaker = (): AttemptOf =>
    (jobs.find((job) => !batch.reporter.isDone(job.assigned.id) && !job.signal.aborted) ?? first)
      .attempt
  batch.speak(speaker())
  const repository = await openRepository(batch, speaker(), batch.signal)
  const lock = await takeLock(batch, repository, speaker, batch.signal)
  const signal = AbortSignal.any([batch.signal, lock.signal, allCancelled(batch, jobs)])
  try {
    const directory = join(batch.start.paths.cache, 'unlisted')
    const { masterKey: key } = repository
    const now = batch.clock.now()
    // Opened under each new lock: what an earlier one saw in the store may be gone since.
    const journal = await openPackJournal({ directory, key, random: batch.bytes, now })
    try {
      await new BackupRun(batch, repository, journal, jobs, speaker, signal).run()
    } finally {
      await journal.close()
    }
  } catch (error) {
    throw lock.signal.aborted ? lock.signal.reason : error
  } finally {
    await lock.release()
  }
}

/**
 * Fires once every job that is not done was cancelled: then nobody waits for what is on its way. As long as one
 * is left, uploads go on, because a pack holds pieces of several jobs.
 */
function allCancelled(batch: Batch, jobs: readonly BackupJob[]): AbortSignal {
  const all = new AbortController()
  const look = (): void => {
    const left = jobs.filter((job) => !batch.reporter.isDone(job.assigned.id))
    if (left.every((job) => job.signal.aborted)) all.abort(left[0]?.signal.reason)
  }
  for (const job of jobs) job.signal.addEventListener('abort', look, { once: true })
  return all.signal
}

/** The work under one lock. */
class BackupRun {
  readonly #batch: Batch
  readonly #repository: Repository
  readonly #journal: PackJournal
  readonly #jobs: readonly BackupJob[]
  readonly #speaker: () => AttemptOf
  readonly #signal: AbortSignal
  readonly #index = new BlobIndex()
  #opened!: OpenedRepository
  #epoch = 0
  /** Stored by this run, in order; what an accepted commit claimed is cut off the front. */
  readonly #packs: StoredPack[] = []
  readonly #indexes: StoredIndex[] = []
  #claimedPacks = 0
  #claimedIndexes = 0
  /** What made the writer unusable, if it is. */
  #broken: { readonly cause: unknown } | undefined
  #wave: { readonly done: ArchivedJob; readonly packsBefore: number }[] = []
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
    this.#waveBegun = clock.monotonic()
    for (const job of this.#jobs) {
      this.#signal.throwIfAborted()
      await this.#archive(job)
      if (clock.monotonic() - this.#waveBegun >= waveAge) await this.#commitWave()
    }
    await this.#commitWave()
  }

  async #open(): Promise<void> {
    const batch = this.#batch
    const repository = this.#repository
    const index = this.#index
    const cache = await openCache(batch.start.paths.cache, batch.bytes)
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
      writer: this.#createWriter(),
    }
    await this.#sync()
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
    const { repository, index, cache } = this.#opened
    const attempt = this.#speaker()
    const signal = this.#signal
    const synced = await syncIndex({ batch, attempt, repository, index, cache, signal })
    this.#epoch = synced.epoch
    const { fetched, dropped } = synced
    if (fetched > 0)
      batch.log('info', 'Index files were fetched from the store', { count: fetched })
    if (dropped > 0) batch.log('info', 'Index files are gone from the store', { count: dropped })
  }

  #createWriter(): RepositoryWriter {
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
      await this.#opened.cache.add(kind, id, bytes)
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
      const done = await archiveJob(batch, this.#opened, job, signal)
      this.#wave.push({ done, packsBefore })
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
    for (const { done } of wave) this.#tellUploading(done)
    await this.#opened.writer.flush()
    // If we die here every blob is stored and indexed: the next run finds them and sends nothing twice.
    for (const one of wave) {
      this.#signal.throwIfAborted()
      const { job } = one.done
      try {
        job.signal.throwIfAborted()
        batch.speak(job.attempt)
        await this.#commit(one.done, one.packsBefore)
        await batch.reporter.done(job.assigned.id, await endOf(batch, one.done))
      } catch (error) {
        this.#signal.throwIfAborted()
        await fail(batch, job, error)
      }
    }
    this.#waveBegun = batch.clock.monotonic()
  }

  #tellUploading({ job, archived }: ArchivedJob): void {
    const { totalFiles, totalBytes, dataAddedPacked } = archived.statistics
    this.#batch.reporter.progress(job.assigned.id, {
      phase: 'uploading',
      files: totalFiles,
      bytes: totalBytes,
      bytesStored: dataAddedPacked,
    })
  }

  async #commit(done: ArchivedJob, packsBefore: number): Promise<void> {
    const batch = this.#batch
    const snapshot = sealSnapshot(batch, this.#repository, done)
    // What waited in an open pack when the job began was stored after it, so this misses nothing.
    const stored = this.#packs.slice(packsBefore).map((pack) => pack.id)
    const refers = [...new Set([...done.foundPacks, ...stored])]
    const packs = this.#packs.slice(this.#claimedPacks)
    const indexes = this.#indexes.slice(this.#claimedIndexes)
    let stale: Refusal | undefined
    for (let round = 1; ; round++) {
      try {
        await commit(batch, done, snapshot, { epoch: this.#epoch, packs, indexes, refers })
        break
      } catch (error) {
        if (!(error instanceof Refusal)) throw error
        // A plane that takes one claim per attempt refuses the second: what counts is why the first one failed.
        if (stale !== undefined && error.code === 'already-exists') throw stale
        if (error.code !== 'epoch-stale' || round === epochRounds) throw error
        stale = error
        await this.#catchUp(done)
      }
    }
    // If we die here the snapshot exists without our `done`: the control plane knows its job from the commit.
    this.#claimedPacks += packs.length
    this.#claimedIndexes += indexes.length
    await batch.cache.add('snapshots', snapshot.id, snapshot.bytes).catch(() => {
      batch.log('warn', 'A snapshot could not be kept in the cache')
    })
  }

  /** A prune ran since the index was listed: is everything the snapshot needs still there? */
  async #catchUp(done: ArchivedJob): Promise<void> {
    await this.#sync()
    const { trees, index } = this.#opened
    if (await isWhollyKnown(done.archived.tree, trees, index, this.#signal)) return
    throw new JobFailure(
      'commit-refused',
      'a prune took away data this snapshot relies on; the next run stores it again',
    )
  }
}

function isWriterFault(error: unknown): boolean {
  if (!(error instanceof RepositoryError)) return false
  return error.code === 'writer-broken' || error.code === 'self-check-failed'
}
