// From a root tree to a snapshot that exists: sealed once, told in a receipt, accepted by the control plane.

import type { JobCounts, VolumeDefinition } from '../../shared/backup/job.ts'
import type { Receipt } from '../../shared/backup/receipt.ts'
import { snapshotPath } from '../../shared/backup/source.ts'
import { toBase64 } from '../../shared/bytes.ts'
import type { Id } from '../repository/id.ts'
import type { Repository } from '../repository/repository.ts'
import { encodeSnapshot } from '../repository/snapshot.ts'
import { fromMilliseconds } from '../repository/time.ts'
import { type SealedObject, sealUnpacked } from '../repository/unpacked.ts'
import { archiveWarnings } from './archive-contract.ts'
import type { ArchivedJob } from './archive-job.ts'
import type { Batch, JobOf } from './batch.ts'
import { Refusal } from './refusal.ts'
import { sealedReport, tally } from './report.ts'
import type { JobEnd } from './reporter.ts'
import { sealTo } from './sealed.ts'

export type StoredPack = Receipt['packs'][number]
export type StoredIndex = Receipt['indexes'][number]

/** An archived job that waits for its snapshot. */
export interface Archived {
  done: ArchivedJob
  /** Packs this run had stored when the job began. */
  packsBefore: number
  /** The epoch of the index in which everything it refers to is known; undefined: look again. */
  epoch: number | undefined
  /** What its source was when it was read. */
  readonly identity: string
  /** It is archived a second time at most. */
  again: boolean
}

/** What of the store's content a commit speaks of. */
export interface Claims {
  readonly epoch: number
  /** Stored by this batch and not part of an accepted commit yet. */
  readonly packs: readonly StoredPack[]
  readonly indexes: readonly StoredIndex[]
  /** Packs the snapshot refers to. */
  readonly refers: readonly Id[]
}

/** The snapshot of an archived job, sealed. Made once per job: a retry sends the same bytes. */
export function sealSnapshot(
  batch: Batch,
  repository: Repository,
  { job, archived, parent, begunAt, endedAt }: ArchivedJob,
): SealedObject {
  const { time, source, tags } = job.assigned.parameters
  const own = `job:${job.assigned.id}`
  const s = archived.statistics
  const json = encodeSnapshot({
    time: fromMilliseconds(Date.parse(time)),
    ...(parent === undefined ? {} : { parent }),
    tree: archived.tree,
    paths: [snapshotPath(source)],
    hostname: batch.start.repository.hostname,
    username: 'holdfast',
    tags: tags.includes(own) ? tags : [own, ...tags],
    programVersion: batch.program,
    summary: {
      backupStart: fromMilliseconds(begunAt),
      backupEnd: fromMilliseconds(endedAt),
      filesNew: BigInt(s.filesNew),
      filesChanged: BigInt(s.filesChanged),
      filesUnmodified: BigInt(s.filesUnmodified),
      dirsNew: BigInt(s.directoriesNew),
      dirsChanged: BigInt(s.directoriesChanged),
      dirsUnmodified: BigInt(s.directoriesUnmodified),
      dataBlobs: BigInt(s.dataBlobs),
      treeBlobs: BigInt(s.treeBlobs),
      dataAdded: BigInt(s.dataAdded),
      dataAddedPacked: BigInt(s.dataAddedPacked),
      totalFilesProcessed: BigInt(s.totalFiles),
      totalBytesProcessed: BigInt(s.totalBytes),
    },
  })
  return sealUnpacked(repository.masterKey, json, batch.bytes)
}

/**
 * Ask for the commit until the answer is final. Rejects with a `Refusal` whose code says why it was refused;
 * `epoch-stale` means: list the index again, then come back with the same snapshot.
 */
export async function commit(
  batch: Batch,
  done: ArchivedJob,
  snapshot: SealedObject,
  claims: Claims,
): Promise<void> {
  const { job, archived, parent } = done
  const { start, plane } = batch
  const { time, source } = job.assigned.parameters
  const volume = await volumeDefinition(batch, job)
  const receipt: Receipt = {
    v: 1,
    host: start.host,
    repository: start.repository.id,
    ...job.attempt,
    epoch: claims.epoch,
    snapshot: snapshot.id,
    snapshotBytes: snapshot.bytes.length,
    tree: archived.tree,
    source,
    time,
    parent: parent ?? null,
    packs: [...claims.packs],
    indexes: [...claims.indexes],
    // All of them, not a delta: what the parent alone needed would never be given up.
    refers: { base: null, packs: [...claims.refers] },
    counts: countsOf(batch, done),
    ...(volume === undefined ? {} : { volume }),
  }
  const body = { receipt, bytes: toBase64(snapshot.bytes) }
  const pass = ['epoch-stale', 'claims-missing']
  // If we die before the answer the plane may have the snapshot: it knows the job, and asks for no second one.
  const answer = await plane.ask('commit', body, { signal: job.signal, pass })
  if (answer.state === 'accepted') return
  const message = answer.message ?? 'the control plane refused the snapshot'
  throw new Refusal('commit', answer.code ?? 'commit-refused', message, false)
}

/** Values of driver options may be secrets: the host and the operator can open them, the plane cannot. */
async function volumeDefinition(
  { start }: Batch,
  job: JobOf<'backup'>,
): Promise<VolumeDefinition | undefined> {
  const { volume } = job.prepared
  if (volume === undefined) return undefined
  const { driver, labels, options } = volume
  if (Object.keys(options).length === 0) return { driver, labels }
  const { recipient, recoveryRecipient } = start
  const recipients = recoveryRecipient === undefined ? [recipient] : [recipient, recoveryRecipient]
  return { driver, labels, sealedOptions: await sealTo(recipients, JSON.stringify(options)) }
}

export function countsOf(batch: Batch, { job, archived }: ArchivedJob): JobCounts {
  const { statistics: s, remarks } = archived
  return {
    files: s.totalFiles,
    directories: s.directoriesNew + s.directoriesChanged + s.directoriesUnmodified,
    filesNew: s.filesNew,
    filesChanged: s.filesChanged,
    filesUnmodified: s.filesUnmodified,
    bytes: s.totalBytes,
    bytesStored: s.dataAddedPacked,
    unreadable: remarks.count('unreadable') + remarks.count('attributes-unreadable'),
    changed: remarks.count('changed'),
    vanished: remarks.count('vanished'),
    milliseconds: Math.round(batch.clock.monotonic() - job.begunAt()),
  }
}

/** How an accepted backup ended: with a warning wherever the snapshot is not all of the source. */
export async function endOf(batch: Batch, done: ArchivedJob): Promise<JobEnd> {
  const { job, archived } = done
  const { remarks } = archived
  const counts = countsOf(batch, done)
  const { source } = job.assigned.parameters
  const { recoveryRecipient } = batch.start
  const report = await sealedReport(job.assigned.id, source, remarks, recoveryRecipient)
  const sealed = report === undefined ? {} : { report }
  if (!archived.warned) return { outcome: 'succeeded', reason: 'completed', counts, ...sealed }
  const unread = remarks.count('unreadable') + remarks.count('attributes-unreadable')
  return {
    outcome: 'warning',
    reason: unread > 0 ? 'files-unreadable' : 'files-changed',
    message: `${tally(remarks, archiveWarnings)}; their names are in the sealed report`,
    counts,
    ...sealed,
  }
}

/** It is read; what remains is on its way to the store. */
export function tellUploading({ reporter }: Batch, { job, archived }: ArchivedJob): void {
  const { totalFiles: files, totalBytes: bytes, dataAddedPacked: bytesStored } = archived.statistics
  reporter.progress(job.assigned.id, { phase: 'uploading', files, bytes, bytesStored })
}
