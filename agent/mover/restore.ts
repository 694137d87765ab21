// One restore: the snapshot's tree into the place the supervisor prepared.
import { snapshotPath } from '../../shared/backup/source.ts'
import type { Repository } from '../repository/repository.ts'
import type { Batch, JobOf } from './batch.ts'
import { openExchange } from './exchange.ts'
import { JobFailure } from './job-failure.ts'
import { type HeldLock, takeLock } from './lock.ts'
import { openRepository } from './open-repository.ts'
import { openForReading, type Reading } from './reading.ts'
import { sealedReport, tally } from './report.ts'
import type { JobEnd } from './reporter.ts'
import type { Restored, RestoreRemark } from './restore-contract.ts'
import { planRestore } from './restore-plan.ts'
import { restoreTree } from './restore-tree.ts'
import { selectPaths } from './selection.ts'
import { findNode } from './snapshot-path.ts'

/** What makes a restore a warning, in the order it is told. */
const warnings: readonly RestoreRemark[] = [
  'owner-refused',
  'attribute-refused',
  'mode-refused',
  'times-refused',
  'device-refused',
  'size-mismatch',
]

/** What makes a restore a failure although it went on to its end. */
const losses: readonly RestoreRemark[] = ['content-damaged', 'tree-damaged']

/** Rejects with `snapshot-missing`, `target-invalid`, and with what the store or the target's disk says. */
export async function runRestore(batch: Batch, job: JobOf<'restore'>): Promise<JobEnd> {
  const { parameters } = job.assigned
  const { path: target, exchangeWith } = job.prepared
  if (target === undefined) throw new JobFailure('target-invalid', 'no target was prepared')
  if (exchangeWith !== undefined && parameters.paths.length > 0) {
    throw new JobFailure(
      'target-invalid',
      'single paths go to a new volume or a directory: in place, the rest would be gone',
    )
  }
  batch.speak(job.attempt)
  const repository = await openRepository(batch, job.attempt, job.signal)
  const lock = await lockIfPossible(batch, job, repository)
  try {
    const reading = await openForReading(batch, job, {
      snapshot: parameters.snapshot,
      signal: job.signal,
      repository,
    })
    if (exchangeWith === undefined)
      return await endOf(batch, job, await fill(batch, job, reading, target))
    const exchange = openExchange({
      data: exchangeWith,
      staging: target,
      bytes: await bytesOf(job, reading),
    })
    if (exchange.finished) return finishedBefore(batch, job)
    const restored = await fill(batch, job, reading, target)
    // Old content that is whole is never given up for new content that is not.
    if (restored.damaged > 0) return await endOf(batch, job, restored)
    await batch.plane.ask('exchange', { ...job.attempt }, { signal: job.signal })
    job.signal.throwIfAborted()
    // If we die before this line the old tree is live; in it or after it, a journal says which one is.
    exchange.commit()
    return await endOf(batch, job, restored)
  } finally {
    await lock?.release()
  }
}

/** A prune by hand would take packs away under our hands; but whoever needs a restore gets it without a lock too. */
async function lockIfPossible(
  batch: Batch,
  job: JobOf<'restore'>,
  repository: Repository,
): Promise<HeldLock | undefined> {
  try {
    return await takeLock(batch, repository, () => job.attempt, job.signal, 0)
  } catch (error) {
    job.signal.throwIfAborted()
    batch.log('warn', 'The repository could not be locked; restoring without a lock', {
      error: error instanceof Error ? error.name : 'unknown',
    })
    return undefined
  }
}

/** Where the source's root lies in its snapshots. */
function pathOf(job: JobOf<'restore'>): Buffer[] {
  return snapshotPath(job.assigned.parameters.source)
    .split('/')
    .filter((part) => part !== '')
    .map((part) => Buffer.from(part))
}

/** Bytes of content of the whole source, for the look at the free space. */
async function bytesOf(job: JobOf<'restore'>, { snapshot, reader }: Reading) {
  const root = await findNode(pathOf(job), snapshot.tree, reader.loadTree)
  if (root === undefined) {
    throw new JobFailure('snapshot-missing', 'the snapshot does not hold this source')
  }
  const { loadTree } = reader
  const { signal } = job
  return (await planRestore({ root, selection: selectPaths([]), loadTree, signal })).bytes
}

/** An earlier attempt put the new tree in place and died before it could say so. */
function finishedBefore(batch: Batch, job: JobOf<'restore'>): JobEnd {
  const milliseconds = Math.round(batch.clock.monotonic() - job.begunAt())
  return {
    outcome: 'succeeded',
    reason: 'completed',
    message: 'an earlier attempt had put the restored tree in place',
    counts: { files: 0, bytes: 0, milliseconds },
  }
}

function fill(
  batch: Batch,
  job: JobOf<'restore'>,
  { snapshot, reader, index }: Reading,
  target: string,
): Promise<Restored> {
  const { parameters, id } = job.assigned
  const { signal } = job
  return restoreTree({
    tree: snapshot.tree,
    path: pathOf(job),
    target,
    only: parameters.paths.map((path) => Buffer.from(path, 'base64')),
    // The supervisor lets only what is empty, or was made for this very job, come this far.
    resume: true,
    reader,
    index,
    idShift: job.prepared.idShift,
    // Before old content is given up, the new is known to be good.
    verify: job.prepared.exchangeWith !== undefined,
    onProgress: ({ files, bytes, verified, total }) =>
      batch.reporter.progress(id, {
        phase: verified > 0 ? 'verifying' : 'restoring',
        files,
        bytes: verified > 0 ? verified : bytes,
        filesTotal: total.files,
        bytesTotal: total.bytes,
      }),
    signal,
  })
}

async function endOf(batch: Batch, job: JobOf<'restore'>, restored: Restored): Promise<JobEnd> {
  const { remarks, extent } = restored
  const refused = warnings.reduce((sum, what) => sum + remarks.count(what), 0)
  const counts = {
    files: extent.files,
    directories: extent.directories,
    bytes: extent.bytes,
    metadataRefused: refused,
    milliseconds: Math.round(batch.clock.monotonic() - job.begunAt()),
  }
  const { source } = job.assigned.parameters
  const report = await sealedReport(job.assigned.id, source, remarks, batch.start.recoveryRecipient)
  const sealed = report === undefined ? {} : { report }
  if (restored.damaged > 0) {
    return {
      outcome: 'failed',
      reason: 'repository-damaged',
      message: `${tally(remarks, losses)}, and all else is restored; names are in the sealed report`,
      counts,
      ...sealed,
    }
  }
  if (!restored.warned) return { outcome: 'succeeded', reason: 'completed', counts, ...sealed }
  return {
    outcome: 'warning',
    reason: 'metadata-refused',
    message: `${tally(remarks, warnings)}; their names are in the sealed report`,
    counts,
    ...sealed,
  }
}
