// Judging a repository from the host that can open it: the engine's check over GET grants.
import type { JobCounts } from '../../shared/backup/job.ts'
import { check } from '../repository/check.ts'
import type { CheckReport, Problem } from '../repository/check-report.ts'
import type { Batch, JobOf } from './batch.ts'
import { NAMES_WANTED, sealedHarm } from './harm-report.ts'
import { takeLock } from './lock.ts'
import { openRepository } from './open-repository.ts'
import { createPlaneStore } from './plane-store.ts'
import type { JobEnd } from './reporter.ts'

/** The host's own key file and the recovery one: without either somebody cannot open the repository. */
const ownKeys = 2
/** Problems told in the message; it is cut at 1,000 characters. */
const problemsTold = 5

/** Damage ends as `failed` with reason `repository-damaged`; an unreachable store rejects. */
export async function runVerify(batch: Batch, job: JobOf<'verify'>): Promise<JobEnd> {
  const { attempt, assigned } = job
  batch.speak(attempt)
  const repository = await openRepository(batch, attempt, job.signal)
  // A prune in the middle would look like damage.
  const lock = await takeLock(batch, repository, () => attempt, job.signal)
  const signal = AbortSignal.any([job.signal, lock.signal])
  try {
    const report = await check({
      store: createPlaneStore(batch, attempt, signal),
      repository,
      readData: assigned.parameters.readData,
      random: batch.bytes,
      names: NAMES_WANTED,
      leastKeys: ownKeys,
      signal,
      onProgress: ({ done, total, bytes }) =>
        batch.reporter.progress(assigned.id, {
          phase: 'verifying',
          files: done,
          bytes,
          filesTotal: total,
        }),
    })
    const { blobs, indexBytes: bytes, harm } = report
    batch.log('info', 'The index was in memory', { blobs, bytes })
    const counts: JobCounts = {
      files: report.packs,
      bytes: report.bytesRead,
      harmed: harm.entries,
      indexBytes: bytes,
      milliseconds: Math.round(batch.clock.monotonic() - job.begunAt()),
    }
    if (report.ok) {
      return { outcome: 'succeeded', reason: 'completed', message: summary(report), counts }
    }
    const sealed = await sealedHarm(assigned.id, harm.named, batch.start.recoveryRecipient)
    return {
      outcome: 'failed',
      reason: 'repository-damaged',
      message: damage(report),
      counts,
      ...(sealed === undefined ? {} : { report: sealed }),
    }
  } finally {
    await lock.release()
  }
}

function summary(report: CheckReport): string {
  const { snapshots, trees, packs, packsRead, hints, problems, snapshotRead } = report
  const of = snapshotRead === undefined ? '' : ` of snapshot ${snapshotRead.slice(0, 8)}`
  const noted = hints > 0 ? `, ${hints} hints: ${first(problems)}` : ''
  return `${snapshots} snapshots, ${trees} trees, ${packs} packs; ${packsRead} packs read${of}${noted}`
}

/** What is damaged and what that harms: ids and counts, no names. */
function damage({ errors, problems, damagedPacks, harm }: CheckReport): string {
  const named = harm.named.length > 0 ? '; their names are in the sealed report' : ''
  const harmed =
    harm.entries > 0
      ? `${harm.entries} entries of ${harm.snapshots} snapshots are harmed${named}`
      : 'no file is harmed by what was looked at'
  const worst = problems.filter(({ severity }) => severity === 'error')
  return `${errors} errors, ${damagedPacks.length} damaged packs: ${first(worst)}; ${harmed}`
}

function first(problems: readonly Problem[]): string {
  return problems
    .slice(0, problemsTold)
    .map(({ kind, id }) => `${kind} ${id.slice(0, 8)}`)
    .join(', ')
}
