// Is the one who asks the attempt that runs? Every call of a mover begins with this question.
import { HoldfastError } from '../../shared/errors.ts'
import type { RepositoriesStore, RepositoryState } from '../ports/store/repositories.ts'
import type { Attempt, RunningJob, RunningJobsStore } from '../ports/store/running-jobs.ts'
import type { Basics } from './deps.ts'
import type { OpenVault, VaultAccess } from './vault-access.ts'

/** Who asks: an authenticated host, on behalf of the mover of a batch. */
export interface Asker {
  readonly host: string
  readonly batch: string
}

/** The attempt that asks, with everything its call may need. */
export interface OwnedAttempt {
  readonly job: RunningJob
  readonly repository: RepositoryState
  readonly vault: VaultAccess
}

export interface AttemptsDeps extends Pick<Basics, 'clock'> {
  readonly jobs: Pick<RunningJobsStore, 'find'>
  readonly repositories: Pick<RepositoriesStore, 'find'>
  readonly openVault: OpenVault
}

export function createAttempts(deps: AttemptsDeps) {
  const { jobs, repositories, openVault, clock } = deps

  /** The job if it is this host's, whatever its state. */
  async function jobOf(asker: Asker, id: string): Promise<RunningJob> {
    const job = await jobs.find(id)
    if (job === undefined || job.host !== asker.host) {
      throw new HoldfastError('not-found', `this host has no job ${id}`)
    }
    return job
  }

  /** Throws `fence-stale` unless this very attempt runs. Its lease may have lapsed. */
  async function owned(asker: Asker, attempt: Attempt): Promise<OwnedAttempt> {
    const job = await jobOf(asker, attempt.job)
    if (!owns(job, asker, attempt)) {
      throw new HoldfastError(
        'fence-stale',
        `attempt ${attempt.attempt} with fence ${attempt.fence} of job ${job.id} runs no more`,
      )
    }
    const repository = await repositories.find(job.repository)
    if (repository === undefined) throw new HoldfastError('not-found', 'the repository is gone')
    // What is to be taken over is looked at where it lies, before it is anybody's.
    const adopt = job.parameters.kind === 'init' ? job.parameters.adopt : undefined
    const vault =
      adopt === undefined
        ? await openVault(repository.vault)
        : await openVault(adopt.vault, { [repository.id]: adopt.place })
    return { job, repository, vault }
  }

  /** As `owned`; throws `lease-lapsed` too when the lease must be asked for again first. */
  async function leased(asker: Asker, attempt: Attempt): Promise<OwnedAttempt> {
    const found = await owned(asker, attempt)
    if ((found.job.leaseUntil ?? 0) > clock.now()) return found
    throw new HoldfastError('lease-lapsed', `the lease of job ${found.job.id} has lapsed`, {
      hint: 'ask for the lease again; it is given unless a newer attempt was started',
    })
  }

  return { jobOf, owned, leased }
}
export type Attempts = ReturnType<typeof createAttempts>

export function owns(job: RunningJob, asker: Asker, attempt: Attempt): boolean {
  return (
    job.state === 'running' &&
    job.host === asker.host &&
    job.batch === asker.batch &&
    job.attempt === attempt.attempt &&
    job.fence === attempt.fence
  )
}

export function attemptOf(job: RunningJob): Attempt {
  return { job: job.id, attempt: job.attempt, fence: job.fence }
}
