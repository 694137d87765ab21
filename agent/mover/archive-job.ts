// One backup job up to its root tree: which source, compared with which parent, told by which counts.
import { snapshotPath } from '../../shared/backup/source.ts'
import { systemErrorCode } from '../native/syscall-error.ts'
import type { RepositoryCache } from '../repository/cache.ts'
import type { Id } from '../repository/id.ts'
import type { BlobIndex } from '../repository/index.ts'
import type { RepositoryReader } from '../repository/reader.ts'
import type { Repository } from '../repository/repository.ts'
import type { Snapshot } from '../repository/snapshot.ts'
import type { RepositoryWriter } from '../repository/writer.ts'
import { createTreeSource } from '../sources/directory.ts'
import { createPatternMatcher } from '../sources/patterns.ts'
import type { Source } from '../sources/source.ts'
import { noAccounts, readAccounts } from './accounts.ts'
import { archive } from './archive.ts'
import type { Archived, ArchiveWriter } from './archive-contract.ts'
import type { Batch, JobOf } from './batch.ts'
import { JobFailure } from './job-failure.ts'
import { createParentTrees } from './parent-trees.ts'
import { readSnapshot } from './read-snapshot.ts'

/** What the jobs of one lock share. */
export interface OpenedRepository {
  readonly repository: Repository
  readonly index: BlobIndex
  readonly cache: RepositoryCache
  readonly trees: RepositoryReader
  readonly writer: RepositoryWriter
}

export interface ArchivedJob {
  readonly job: JobOf<'backup'>
  readonly archived: Archived
  /** The snapshot it was compared with, if that could be had. */
  readonly parent: Id | undefined
  /** Packs of all blobs that were there before and that this job found again, unchanged files included. */
  readonly foundPacks: ReadonlySet<Id>
  /** Wall time in milliseconds. */
  readonly begunAt: number
  readonly endedAt: number
}

/** Rejects with `source-missing`, and with whatever stops an archive. */
export async function archiveJob(
  batch: Batch,
  opened: OpenedRepository,
  job: JobOf<'backup'>,
  signal: AbortSignal,
): Promise<ArchivedJob> {
  const { parameters } = job.assigned
  const { clock, reporter } = batch
  const begunAt = clock.now()
  const source = sourceOf(job)
  const parent = await loadParent(batch, opened, job, signal)
  const found = new Set<number>()
  const archived = await archive({
    source,
    writer: recording(opened, found),
    ...(parent === undefined ? {} : { parentTree: parent.snapshot.tree }),
    loadTree: createParentTrees({ ...opened, reader: opened.trees }),
    isVolatile: createPatternMatcher(parameters.volatile),
    ...expectedOf(parent?.snapshot),
    accounts: parameters.source.kind === 'volume' ? noAccounts : hostAccounts(),
    idShift: job.prepared.idShift,
    onProgress: ({ files, bytes, total }) =>
      reporter.progress(job.assigned.id, {
        phase: 'reading',
        files,
        bytes,
        filesTotal: total?.files,
        bytesTotal: total?.bytes,
      }),
    clock,
    signal,
  })
  const foundPacks = new Set([...found].map((listing) => opened.index.packOfListing(listing)))
  return { job, archived, parent: parent?.id, foundPacks, begunAt, endedAt: clock.now() }
}

function hostAccounts() {
  return readAccounts('/etc/passwd', '/etc/group')
}

function sourceOf(job: JobOf<'backup'>): Source {
  const at = job.prepared.path
  if (at === undefined)
    throw new JobFailure('source-missing', 'the source has no path on this host')
  const path = snapshotPath(job.assigned.parameters.source)
    .split('/')
    .filter((part) => part !== '')
  const source = createTreeSource(
    at,
    path.map((part) => Buffer.from(part)),
  )
  try {
    source.open().close()
  } catch (error) {
    const code = systemErrorCode(error)
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
    throw new JobFailure('source-missing', `the source's root cannot be opened: ${code}`)
  }
  return source
}

/**
 * The writer, with a note of every listing in which something was found that is in the new snapshot. A file that is
 * taken over unread is noted as its chunks are asked for: a receipt that named more than the snapshot needs would
 * keep a prune from giving it up.
 */
function recording(opened: OpenedRepository, found: Set<number>): ArchiveWriter {
  const { writer, index } = opened
  const note = (type: 'data' | 'tree', id: Id): boolean => {
    const listing = index.listingOf(type, id)
    if (listing < 0) return false
    found.add(listing)
    return true
  }
  return {
    async saveFile(chunks) {
      const saved = await writer.saveFile(chunks)
      for (const id of saved.content) note('data', id)
      return saved
    },
    async saveBlob(type, bytes) {
      const saved = await writer.saveBlob(type, bytes)
      note(type, saved.id)
      return saved
    },
    knows: (type, id) => note(type, id) || writer.knows(type, id),
  }
}

/** The snapshot to compare with. One that cannot be had, or is of something else, only costs time. */
async function loadParent(
  batch: Batch,
  opened: OpenedRepository,
  job: JobOf<'backup'>,
  signal: AbortSignal,
): Promise<{ id: Id; snapshot: Snapshot } | undefined> {
  const { parent: id, source, readAll } = job.assigned.parameters
  if (id === undefined || readAll) return undefined
  let snapshot: Snapshot
  try {
    snapshot = await readSnapshot(batch, job.attempt, opened.repository, id, signal)
  } catch (error) {
    if (!(error instanceof JobFailure)) throw error
    batch.log('warn', 'The parent snapshot is gone; every file is read', { job: job.assigned.id })
    return undefined
  }
  const same = snapshot.paths.length === 1 && snapshot.paths[0] === snapshotPath(source)
  if (same && snapshot.hostname === batch.start.repository.hostname) return { id, snapshot }
  batch.log('warn', 'The parent snapshot is of another source; every file is read', {
    job: job.assigned.id,
  })
  return undefined
}

function expectedOf(snapshot: Snapshot | undefined) {
  const summary = snapshot?.summary
  if (summary === undefined) return {}
  const directories = summary.dirsNew + summary.dirsChanged + summary.dirsUnmodified
  return {
    expected: {
      files: Number(summary.totalFilesProcessed),
      directories: Number(directories),
      bytes: Number(summary.totalBytesProcessed),
    },
  }
}
