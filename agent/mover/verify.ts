// Judging a repository from the host that can open it: the engine's check over GET grants.
import { check } from '../repository/check.ts'
import type { CheckReport } from '../repository/check-report.ts'
import type { Batch, JobOf } from './batch.ts'
import { takeLock } from './lock.ts'
import { openRepository } from './open-repository.ts'
import { createPlaneStore } from './plane-store.ts'
import type { JobEnd } from './reporter.ts'

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
      signal,
      onProgress: ({ done, total }) =>
        batch.reporter.progress(assigned.id, {
          phase: 'verifying',
          files: done,
          bytes: 0,
          filesTotal: total,
        }),
    })
    const milliseconds = Math.round(batch.clock.monotonic() - job.begunAt())
    const counts = { files: report.packs, bytes: report.bytesRead, milliseconds }
    return report.ok
      ? { outcome: 'succeeded', reason: 'completed', message: summary(report), counts }
      : { outcome: 'failed', reason: 'repository-damaged', message: damage(report), counts }
  } finally {
    await lock.release()
  }
}

function summary({ snapshots, trees, packs, packsRead, hints }: CheckReport): string {
  const noted = hints > 0 ? `, ${hints} hints` : ''
  return `${snapshots} snapshots, ${trees} trees, ${packs} packs; ${packsRead} packs read${noted}`
}

/** Kinds with their counts, then the first objects concerned: ids and no names. */
function damage({ errors, problems, damagedPacks }: CheckReport): string {
  const first = problems
    .filter(({ severity }) => severity === 'error')
    .slice(0, 5)
    .map(({ kind, id }) => `${kind} ${id.slice(0, 8)}`)
  return `${errors} errors, ${damagedPacks.length} damaged packs: ${first.join(', ')}`
}
