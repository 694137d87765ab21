// How an attempt ended, as its agent says; and what we make of it.
import type * as z from 'zod'
import { HoldfastError } from '../../shared/errors.ts'
import type { finishRequest, pageRequest } from '../../shared/protocol/calls.ts'
import type { AgentReportsStore } from '../ports/store/agent-reports.ts'
import type { CommitsStore } from '../ports/store/commits.ts'
import type { HostsStore } from '../ports/store/hosts.ts'
import type { RepositoriesStore } from '../ports/store/repositories.ts'
import type { End, RunningJob, RunningJobsStore } from '../ports/store/running-jobs.ts'
import { type Asker, type Attempts, attemptOf, owns } from './attempts.ts'
import type { Basics } from './deps.ts'
import { endWaiting } from './end-waiting.ts'
import { endTrace, outcomeOf } from './job-end.ts'
import { MAX_ATTEMPTS, requeueTrace } from './leases.ts'

/** Characters of base64 one browse job may leave with us: a file of about 750 MB. */
const MAX_PAGES_LENGTH = 2 ** 30

export type FinishRequest = z.infer<typeof finishRequest>

export interface FinishDeps extends Basics {
  readonly attempts: Attempts
  readonly jobs: RunningJobsStore
  readonly commits: CommitsStore
  readonly hosts: Pick<HostsStore, 'find'>
  readonly repositories: Pick<RepositoriesStore, 'find'>
  readonly reports: Pick<AgentReportsStore, 'addPage' | 'pageBytes'>
}

export function createFinish(deps: FinishDeps) {
  const { attempts, jobs, commits, hosts, repositories, reports, clock } = deps

  /** A backup is what its commit is: the agent's word alone makes no success and takes none back. */
  async function judge(job: RunningJob, request: FinishRequest): Promise<End> {
    const end: End = {
      outcome: request.outcome,
      reason: request.reason,
      message: request.message ?? null,
      counts: request.counts ?? null,
      report: request.report ?? null,
      at: clock.now(),
    }
    const good = end.outcome === 'succeeded' || end.outcome === 'warning'
    if (job.kind === 'init' && good) {
      const ready = (await repositories.find(job.repository))?.state === 'ready'
      const message = 'The agent says it is done, but the repository is not ready.'
      return ready ? end : { ...end, outcome: 'failed', reason: 'internal-error', message }
    }
    if (job.kind !== 'backup') return end
    const made = await commits.acceptedSnapshot(job.id)
    if (made !== undefined) {
      // Lost or cancelled after the commit: the snapshot is there and whole all the same.
      const signed = outcomeOf(made.counts)
      const late = end.outcome === 'lost' || end.outcome === 'cancelled'
      // What the signed receipt counts as left out is no success, whatever is said afterwards.
      const better = end.outcome === 'succeeded' && signed.outcome === 'warning'
      return late || better ? { ...end, ...signed, counts: end.counts ?? made.counts } : end
    }
    if (!good) return end
    const commit = await commits.find(job.id, job.attempt)
    if (commit?.state === 'checking' || commit?.state === 'writing') {
      throw new HoldfastError('conflict', 'the commit of this attempt is still being checked')
    }
    const why = commit?.message ?? 'The agent sent no commit.'
    return { ...end, outcome: 'failed', reason: 'commit-refused', message: why }
  }

  /**
   * Ends the attempt. Again by the same attempt: nothing happens. By an older one: `fence-stale`.
   * Resolves to true when something changed.
   */
  async function finish(asker: Asker, request: FinishRequest): Promise<boolean> {
    const job = await attempts.jobOf(asker, request.job)
    if (!owns(job, asker, request)) {
      // The attempt is over: ended by this very call before, or given up and queued again by its own word.
      const same = job.attempt === request.attempt && job.fence === request.fence
      if (same && job.state !== 'running') return false
      throw new HoldfastError(
        'fence-stale',
        `attempt ${request.attempt} of job ${job.id} was given up; its end is not asked for any more`,
      )
    }
    const end = await judge(job, request)
    const actor = `host:${asker.host}`
    // "Lost" from the agent itself means that it saw its mover die. The next attempt may start at once,
    // without waiting for lease and URLs: the URLs were in the dead process only, its connections died with
    // it, and whatever byte still arrives is stored under its own hash, where it harms nobody.
    if (end.outcome === 'lost' && job.attempt < MAX_ATTEMPTS && job.cancelAt === null) {
      const now = clock.now()
      const trace = requeueTrace(deps, job, end.reason, actor)
      if (await jobs.requeue(attemptOf(job), { at: now, notBefore: now }, trace)) return true
      if (!(await jobs.superseded(job.id))) throw busy()
    }
    const last: End =
      end.outcome === 'lost' && job.cancelAt !== null
        ? { ...end, outcome: 'cancelled', reason: 'cancelled-by-person' }
        : end
    const hostname = (await hosts.find(job.host))?.name ?? job.host
    const trace = endTrace(deps, job, last, { actor, hostname })
    if (!(await jobs.finish(attemptOf(job), last, trace))) throw busy()
    // If we die here, waiting jobs stay until the next init of this repository ends: dispatch makes one.
    await endWaiting(deps, job, last)
    return true
  }

  const busy = () => new HoldfastError('conflict', 'the job changed meanwhile; say it again')

  /** Keeps a sealed page of a browse job for the person who asked. */
  async function page(asker: Asker, request: z.infer<typeof pageRequest>): Promise<void> {
    const { job } = await attempts.owned(asker, request)
    if (job.kind !== 'browse') {
      throw new HoldfastError('forbidden', `a job of kind ${job.kind} has no pages`)
    }
    const length = (await reports.pageBytes(job.id)) + request.bytes.length
    if (length > MAX_PAGES_LENGTH) {
      throw new HoldfastError('too-large', 'more pages than a browse job may leave', {
        hint: 'restore what is this large instead',
      })
    }
    const { page, last, bytes } = request
    await reports.addPage({ job: job.id, page, last, bytes, at: clock.now() })
  }

  return { finish, page }
}
export type Finish = ReturnType<typeof createFinish>
