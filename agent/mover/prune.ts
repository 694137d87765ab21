// A prune, as far as a host may go: what nothing needs is named, what is half needed is written anew, index files are
// replaced. Removing is the control plane's, later.
import type { JobCounts, Progress } from '../../shared/backup/job.ts'
import type { Retirement } from '../../shared/backup/retirement.ts'
import { SECOND } from '../../shared/clock.ts'
import { openCache } from '../repository/cache.ts'
import type { Id } from '../repository/id.ts'
import { BlobIndex } from '../repository/index.ts'
import { objectKey } from '../repository/layout.ts'
import { type Prune, type PruneResult, preparePrune } from '../repository/prune.ts'
import type { Repository } from '../repository/repository.ts'
import type { Batch, JobOf } from './batch.ts'
import { JobFailure } from './job-failure.ts'
import { listAll } from './listing.ts'
import { type HeldLock, type LockLostError, takeLock } from './lock.ts'
import { openRepository } from './open-repository.ts'
import { createPlaneStore } from './plane-store.ts'
import { isWorthTelling, summaryOf } from './prune-report.ts'
import { liveRoots, tellUnknownSnapshots } from './prune-snapshots.ts'
import { Refusal } from './refusal.ts'
import type { JobEnd } from './reporter.ts'
import { syncIndex } from './sync-index.ts'
import { createTreeReader } from './tree-packs.ts'

type PruneJob = JobOf<'prune'>

/** How long to wait for backups and other programs to let go, in milliseconds: as long as a backup waits for us. */
const lockPatience = 300 * SECOND

/** Damage and whatever else makes taking things away unsafe rejects, before anything was taken away. */
export async function runPrune(batch: Batch, job: PruneJob): Promise<JobEnd> {
  const { attempt } = job
  batch.speak(attempt)
  const repository = await openRepository(batch, attempt, job.signal)
  const lock = await takeLock(batch, repository, () => attempt, job.signal, lockPatience, true)
  const signal = AbortSignal.any([job.signal, lock.signal])
  try {
    return await new PruneRun(batch, job, repository, lock, signal).run()
  } catch (error) {
    throw lock.signal.aborted && !job.signal.aborted ? lostLock(lock.signal.reason) : error
  } finally {
    await lock.release()
  }
}

function lostLock(cause: LockLostError): JobFailure {
  return new JobFailure('repository-locked', `${cause.message}; nothing was taken away`, { cause })
}

/** The work under the lock. */
class PruneRun {
  readonly #batch: Batch
  readonly #job: PruneJob
  readonly #repository: Repository
  readonly #lock: HeldLock
  readonly #signal: AbortSignal
  readonly #packs: Retirement['added']['packs'] = []
  readonly #indexes: Retirement['added']['indexes'] = []

  constructor(
    batch: Batch,
    job: PruneJob,
    repository: Repository,
    lock: HeldLock,
    signal: AbortSignal,
  ) {
    this.#batch = batch
    this.#job = job
    this.#repository = repository
    this.#lock = lock
    this.#signal = signal
  }

  async run(): Promise<JobEnd> {
    const batch = this.#batch
    const { attempt } = this.#job
    const signal = this.#signal
    const repository = this.#repository
    this.#tell('listing', 0)
    await tellUnknownSnapshots(batch, attempt, repository, signal)

    // Snapshots first: whoever writes one has stored the index files before, so we see those too.
    const snapshots = await this.#list('snapshots')
    const index = new BlobIndex()
    const cache = await openCache(batch.start.paths.cache, batch.bytes)
    const synced = await syncIndex({ batch, attempt, repository, index, cache, signal })
    const indexSizes = await this.#list('index')
    const packs = await this.#list('packs')
    const condemnedBefore = await this.#list('condemned')
    this.#requireSame(new Set(index.files), indexSizes.keys())

    const store = createPlaneStore(batch, attempt, signal)
    const keep = async (kind: 'index' | 'packs', id: Id, bytes: Uint8Array): Promise<void> => {
      await cache.add(kind, id, bytes).catch((error: NodeJS.ErrnoException) => {
        batch.log('warn', 'An object could not be kept in the cache', {
          code: error.code ?? 'unknown',
        })
      })
    }
    const live = await liveRoots(batch, attempt, repository, [...snapshots.keys()], signal)
    const prune = await preparePrune({
      repository,
      index,
      indexSizes,
      packs,
      roots: live.roots,
      noHeirs: new Set(condemnedBefore.keys()),
      reader: createTreeReader({
        repository,
        index,
        cache,
        store,
        keep: (id, bytes) => keep('packs', id, bytes),
      }),
      read: (pack, range) => store.get(objectKey('data', pack), range),
      random: batch.bytes,
      clock: batch.clock,
      onPack: async ({ id, type, bytes }) => {
        await batch.store.put(objectKey('data', id), id, bytes, { type, signal })
        this.#packs.push({ id, bytes: bytes.length, type })
        if (type === 'tree') await keep('packs', id, bytes)
      },
      onIndex: async ({ id, bytes }) => {
        await batch.store.put(objectKey('index', id), id, bytes, { signal })
        this.#indexes.push({ id, bytes: bytes.length })
        await keep('index', id, bytes)
      },
      limits: this.#job.assigned.parameters,
      signal,
      onTree: (done) => this.#tell('scanning', done),
    })
    const { unlisted } = prune.table
    const confirmed = unlisted.filter(({ id }) => condemnedBefore.has(id)).map(({ id }) => id)
    const unindexed = unlisted.filter(({ id }) => !condemnedBefore.has(id))
    if (prune.rescued.length > 0) {
      batch.log(
        'warn',
        'Packs that a snapshot needs were in no index file; they are listed again',
        {
          count: prune.rescued.length,
        },
      )
    }

    const waits = await this.#propose(prune)
    if (waits !== undefined) return waits
    const result = await this.#carryOut(prune)
    this.#tell('committing', result.condemned.length)
    await this.#confirm(snapshots, index)
    const retirement: Retirement = {
      v: 1,
      host: batch.start.host,
      repository: batch.start.repository.id,
      ...attempt,
      epoch: synced.epoch,
      walked: [...snapshots.keys()],
      added: { packs: this.#packs, indexes: this.#lasting(result) },
      replacedIndexes: [...result.replacedIndexes],
      condemned: result.condemned.map(({ id, bytes, heirs }) => ({ id, bytes, heirs: [...heirs] })),
      unindexed,
      confirmed,
    }
    if (isWorthTelling(retirement)) await this.#retire(retirement)
    return this.#end(prune, result)
  }

  async #list(what: 'snapshots' | 'index' | 'packs' | 'condemned'): Promise<Map<Id, number>> {
    const { plane } = this.#batch
    const { objects } = await listAll(plane, this.#job.attempt, what, this.#signal)
    return new Map(objects.map(({ id, bytes }) => [id, bytes]))
  }

  /** Undefined to go on; else how the job ends, because a person has to look first. */
  async #propose({ plan, table }: Prune): Promise<JobEnd | undefined> {
    const { unreferenced, repack } = plan.summary
    const packs = unreferenced.packs + repack.packs
    if (packs === 0) return undefined
    const body = {
      ...this.#job.attempt,
      unreferencedBytes: unreferenced.bytes,
      repackBytes: repack.bytes,
      repositoryBytes: table.storedBytes,
      packs,
    }
    const { decision, message } = await this.#batch.plane.ask('proposal', body, {
      signal: this.#signal,
    })
    if (decision === 'go') return undefined
    return {
      outcome: 'warning',
      reason: 'needs-approval',
      message: message ?? summaryOf(plan.summary),
      counts: this.#counts(plan.summary.listed.packs),
    }
  }

  #carryOut(prune: Prune): Promise<PruneResult> {
    const { clock } = this.#batch
    const until = clock.monotonic() + this.#job.assigned.parameters.maxSeconds * SECOND
    return prune.carryOut((done, of) => {
      this.#tell('repacking', done, of)
      return clock.monotonic() < until
    })
  }

  /** Nobody wrote while we held the repository alone? If somebody did, what nothing needed then may be needed now. */
  async #confirm(snapshots: ReadonlyMap<Id, number>, index: BlobIndex): Promise<void> {
    await this.#lock.confirm(this.#signal)
    const snapshotsNow = await this.#list('snapshots')
    for (const id of snapshotsNow.keys()) if (!snapshots.has(id)) throw disturbed()
    const indexNow = await this.#list('index')
    this.#requireSame(
      new Set([...index.files, ...this.#indexes.map(({ id }) => id)]),
      indexNow.keys(),
    )
  }

  #requireSame(expected: ReadonlySet<Id>, found: Iterable<Id>): void {
    const live = new Set(found)
    const same = live.size === expected.size && [...live].every((id) => expected.has(id))
    if (!same) throw disturbed()
  }

  /** New index files that the end of this prune did not replace again. */
  #lasting({ replacedIndexes }: PruneResult): Retirement['added']['indexes'] {
    const replaced = new Set(replacedIndexes)
    return this.#indexes.filter(({ id }) => !replaced.has(id))
  }

  async #retire(retirement: Retirement): Promise<void> {
    const { plane } = this.#batch
    // If we die before the answer the plane has the retirement or not: the next prune looks at what is there.
    const answer = await plane.ask('retire', { retirement }, { signal: this.#signal })
    if (answer.state === 'accepted') return
    const message = answer.message ?? 'the control plane refused the retirement'
    throw new Refusal('retire', answer.code ?? 'retirement-refused', message, false)
  }

  #tell(phase: Progress['phase'], files: number, filesTotal?: number): void {
    const { reporter } = this.#batch
    const { id } = this.#job.assigned
    const bytes = this.#packs.reduce((sum, pack) => sum + pack.bytes, 0)
    reporter.progress(id, { phase, files, bytes: 0, bytesStored: bytes, filesTotal })
  }

  #counts(packs: number, result?: PruneResult): JobCounts {
    const stored = [...this.#packs, ...this.#indexes].reduce((sum, { bytes }) => sum + bytes, 0)
    const condemned = result?.condemned ?? []
    return {
      files: packs,
      bytes: 0,
      bytesStored: stored,
      packsCondemned: condemned.length,
      bytesCondemned: condemned.reduce((sum, { bytes }) => sum + bytes, 0),
      milliseconds: Math.round(this.#batch.clock.monotonic() - this.#job.begunAt()),
    }
  }

  #end(prune: Prune, result: PruneResult): JobEnd {
    const counts = this.#counts(prune.plan.summary.listed.packs, result)
    const message = summaryOf(prune.plan.summary, result)
    return result.damaged > 0
      ? { outcome: 'warning', reason: 'repository-damaged', message, counts }
      : { outcome: 'succeeded', reason: 'completed', message, counts }
  }
}

function disturbed(): JobFailure {
  return new JobFailure(
    'repository-locked',
    'another program wrote although the repository was held alone; nothing was taken away',
  )
}
