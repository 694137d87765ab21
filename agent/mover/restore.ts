// One restore: the snapshot's tree into the place the supervisor prepared.
import { mkdir } from 'node:fs/promises'
import { snapshotPath } from '../../shared/backup/source.ts'
import type { Batch, JobOf } from './batch.ts'
import { JobFailure } from './job-failure.ts'
import { openForReading } from './reading.ts'
import { sealedReport, tally } from './report.ts'
import type { JobEnd } from './reporter.ts'
import type { Restored, RestoreRemark } from './restore-contract.ts'
import { restoreTree } from './restore-tree.ts'

/** What makes a restore a warning, in the order it is told. */
const warnings: readonly RestoreRemark[] = [
  'owner-refused',
  'attribute-refused',
  'mode-refused',
  'times-refused',
  'device-refused',
  'size-mismatch',
]

/** Rejects with `snapshot-missing`, `target-invalid`, and with what the store or the target's disk says. */
export async function runRestore(batch: Batch, job: JobOf<'restore'>): Promise<JobEnd> {
  const { parameters, id } = job.assigned
  const { path: target, exchangeWith, idShift } = job.prepared
  const { signal } = job
  if (target === undefined) throw new JobFailure('target-invalid', 'no target was prepared')
  const { snapshot, reader, index } = await openForReading(batch, job, parameters.snapshot, signal)
  if (exchangeWith !== undefined) await mkdir(target, { recursive: true, mode: 0o700 })
  const restored = await restoreTree({
    tree: snapshot.tree,
    path: snapshotPath(parameters.source)
      .split('/')
      .filter((part) => part !== '')
      .map((part) => Buffer.from(part)),
    target,
    only: parameters.paths.map((path) => Buffer.from(path, 'base64')),
    // The supervisor lets only what is empty, or was made for this very job, come this far.
    resume: true,
    reader,
    index,
    idShift,
    onProgress: ({ files, bytes, total }) =>
      batch.reporter.progress(id, {
        phase: 'restoring',
        files,
        bytes,
        filesTotal: total.files,
        bytesTotal: total.bytes,
      }),
    signal,
  })
  return endOf(batch, job, restored)
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
  if (!restored.warned) return { outcome: 'succeeded', reason: 'completed', counts, ...sealed }
  return {
    outcome: 'warning',
    reason: 'metadata-refused',
    message: `${tally(remarks, warnings)}; their names are in the sealed report`,
    counts,
    ...sealed,
  }
}
