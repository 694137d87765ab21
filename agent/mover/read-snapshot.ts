// One snapshot, opened: from the host's own copy if it is whole, else through the control plane.
import { fromBase64 } from '../../shared/bytes.ts'
import type { Id } from '../repository/id.ts'
import type { Repository } from '../repository/repository.ts'
import { decodeSnapshot, type Snapshot } from '../repository/snapshot.ts'
import { openUnpacked } from '../repository/unpacked.ts'
import type { Batch } from './batch.ts'
import { JobFailure } from './job-failure.ts'
import type { AttemptOf } from './plane.ts'
import { Refusal } from './refusal.ts'

/** Rejects with `snapshot-missing`, or with `damaged` where the bytes are not what their name says. */
export async function readSnapshot(
  batch: Batch,
  attempt: AttemptOf,
  repository: Repository,
  id: Id,
  signal: AbortSignal,
): Promise<Snapshot> {
  const kept = await batch.cache.read('snapshots', id)
  const bytes = kept ?? (await ask(batch, attempt, id, signal))
  const snapshot = decodeSnapshot(openUnpacked(repository.masterKey, id, bytes))
  if (kept === undefined && !batch.start.repository.foreign) {
    await batch.cache.add('snapshots', id, bytes)
  }
  return snapshot
}

async function ask(batch: Batch, attempt: AttemptOf, id: Id, signal: AbortSignal) {
  try {
    const body = { ...attempt, what: 'snapshot', id } as const
    return fromBase64((await batch.plane.ask('read', body, { signal })).bytes)
  } catch (error) {
    if (error instanceof Refusal && error.code === 'not-found') {
      const message = `snapshot ${id.slice(0, 8)} is not in the repository`
      throw new JobFailure('snapshot-missing', message, { cause: error })
    }
    throw error
  }
}
