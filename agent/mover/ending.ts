// From an error to how the job ended: one pure function, so that the closed lists stay closed.
import type { Outcome, Reason } from '../../shared/backup/outcome.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { systemErrorCode } from '../native/syscall-error.ts'
import { RepositoryError, type RepositoryErrorCode } from '../repository/errors.ts'
import { StorageError, type StorageErrorCode } from '../storage/object-store.ts'
import { JobCancelled, JobFailure } from './job-failure.ts'
import { Refusal } from './refusal.ts'

export interface Ending {
  readonly outcome: Extract<Outcome, 'failed' | 'cancelled'>
  readonly reason: Reason
  /** One sentence for the operator: counts and hashes, no file names, no secrets. */
  readonly message: string
}

const ofRepository: Readonly<Record<RepositoryErrorCode, Reason>> = {
  'wrong-password': 'wrong-password',
  'no-repository': 'repository-damaged',
  'repository-exists': 'object-conflict',
  'lock-conflict': 'repository-locked',
  'unsupported-version': 'repository-damaged',
  damaged: 'repository-damaged',
  'too-large': 'repository-damaged',
  'illegal-name': 'repository-damaged',
  'unknown-blob': 'repository-damaged',
  'invalid-input': 'internal-error',
  'self-check-failed': 'internal-error',
  'worker-lost': 'internal-error',
  'writer-broken': 'internal-error', // its cause says more, and is looked at first
  cancelled: 'cancelled-by-person',
}

const ofStorage: Readonly<Record<StorageErrorCode, Reason>> = {
  exists: 'object-conflict',
  absent: 'repository-damaged',
  truncated: 'repository-damaged', // shorter than its index says; a broken connection ends as `unreachable`
  corrupt: 'store-refused',
  'grant-expired': 'grant-refused',
  denied: 'store-refused',
  busy: 'store-unavailable',
  unreachable: 'store-unavailable',
  'clock-skew': 'clock-skew',
}

/** Words of ours that a restore ends with. */
const ofOurs: Readonly<Record<string, Reason>> = {
  'not-found': 'snapshot-missing',
  invalid: 'target-invalid',
  'already-exists': 'target-invalid',
  'in-use': 'source-in-use',
}

/** Refusals that mean the same whatever was asked. */
const ofCode: Readonly<Record<string, Reason>> = {
  'plane-unavailable': 'plane-unavailable',
  'lease-lapsed': 'plane-unavailable',
  'store-unavailable': 'store-unavailable',
  'clock-skew': 'clock-skew',
  exists: 'object-conflict',
  'in-use': 'source-in-use',
  locked: 'repository-locked',
  'lock-lost': 'repository-locked',
  'repository-absent': 'repository-damaged',
  internal: 'plane-unavailable',
}

const ofSystem: Readonly<Record<string, Reason>> = {
  ENOSPC: 'disk-full',
  EDQUOT: 'disk-full',
  EACCES: 'permission-denied',
  EPERM: 'permission-denied',
  EROFS: 'target-invalid',
}

/** How far down a chain of causes to look. */
const deepest = 10

/**
 * The innermost error that has a meaning of its own decides: a broken writer over a refused grant is a
 * refused grant. What nobody foresaw is `internal-error`, and its text stays in the log.
 */
export function endingOf(error: unknown): Ending {
  let found: Ending | undefined
  let next: unknown = error
  for (let depth = 0; depth < deepest && next instanceof Error; depth++) {
    // What a job said in so many words is not second-guessed.
    const own = meaning(next)
    if (own !== undefined) found = own
    if (next instanceof JobFailure || next instanceof JobCancelled) break
    next = next.cause
  }
  if (found !== undefined) return found
  const name = error instanceof Error ? error.name : typeof error
  return failed('internal-error', `a fault of the program (${name.slice(0, 100)})`)
}

function meaning(error: Error): Ending | undefined {
  if (error instanceof JobCancelled) {
    return { outcome: 'cancelled', reason: 'cancelled-by-person', message: error.message }
  }
  if (error instanceof JobFailure) return failed(error.reason, error.message)
  if (error instanceof Refusal) return failed(reasonOfRefusal(error), error.message)
  if (error instanceof RepositoryError) {
    const reason = ofRepository[error.code]
    if (error.code === 'cancelled') return { outcome: 'cancelled', reason, message: error.message }
    return failed(reason, error.message)
  }
  if (error instanceof StorageError) return failed(ofStorage[error.code], error.message)
  if (error instanceof HoldfastError) {
    const reason = ofOurs[error.code]
    if (error.code === 'cancelled') {
      return { outcome: 'cancelled', reason: 'cancelled-by-person', message: error.message }
    }
    return reason === undefined ? undefined : failed(reason, error.message)
  }
  // The texts of system errors hold paths; their codes do not.
  const code = systemErrorCode(error)
  const reason = code === undefined ? undefined : ofSystem[code]
  return reason === undefined ? undefined : failed(reason, `a system call failed with ${code}`)
}

function reasonOfRefusal(refusal: Refusal): Reason {
  const known = ofCode[refusal.code]
  if (known !== undefined) return known
  if (refusal.ask === 'commit') return 'commit-refused'
  if (refusal.ask === 'retire') return 'retirement-refused'
  if (refusal.ask === 'read' && refusal.code === 'not-found') return 'snapshot-missing'
  if (refusal.ask === 'initialise') return 'store-refused'
  return 'grant-refused'
}

function failed(reason: Reason, message: string): Ending {
  return { outcome: 'failed', reason, message: message.slice(0, 1_000) }
}
