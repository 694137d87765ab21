// Who may go on, and who is given up: the heartbeat of running jobs.
import type { Progress } from '../../shared/backup/job.ts'
import { type Duration, MINUTE, SECOND } from '../../shared/clock.ts'
import type { CommitsStore } from '../ports/store/commits.ts'
import type { HostsStore } from '../ports/store/hosts.ts'
import type { Attempt, End, RunningJob, RunningJobsStore } from '../ports/store/running-jobs.ts'
import type { Asker } from './attempts.ts'
import { attemptOf } from './attempts.ts'
import type { Basics } from './deps.ts'
import { LEASE } from './dispatch.ts'
import { eachInTurn } from './each-in-turn.ts'
import { endWaiting } from './end-waiting.ts'
import { newEvent } from './event.ts'
import { endTrace, outcomeOf } from './job-end.ts'

/** Attempts of one job before it is given up. */
export const MAX_ATTEMPTS = 3
/** After its start a control plane waits this long before it gives anybody up: agents must find it again. */
const GRACE: Duration = 10 * MINUTE
/** Before the next attempt of a job whose host fell silent, times the attempts so far. */
const RETRY_PAUSE: Duration = MINUTE
/** Jobs given up in one sweep. */
const SWEEP = 200

export interface LeasesDeps extends Basics {
  readonly jobs: RunningJobsStore
  readonly commits: Pick<CommitsStore, 'acceptedSnapshot'>
  readonly hosts: Pick<HostsStore, 'find'>
  /** Monotonic time at which this process began to serve. */
  readonly startedAt: number
}

export function createLeases(deps: LeasesDeps) {
  const { jobs, commits, hosts, startedAt, clock } = deps

  async function giveUp(job: RunningJob, now: number): Promise<void> {
    const hostname = (await hosts.find(job.host))?.name ?? job.host
    const base = { message: null, counts: null, report: null, at: now }
    const made = await commits.acceptedSnapshot(job.id)
    if (made !== undefined) {
      // The backup is complete, only its agent never said so: its counts say how it went.
      const end: End = { ...base, ...outcomeOf(made.counts), counts: made.counts }
      const trace = endTrace(deps, job, end, { actor: 'system', hostname })
      await jobs.finish(attemptOf(job), end, trace, now)
      return
    }
    if (job.cancelAt !== null) {
      const end: End = { ...base, outcome: 'cancelled', reason: 'cancelled-by-person' }
      const trace = endTrace(deps, job, end, { actor: 'system', hostname })
      await jobs.finish(attemptOf(job), end, trace, now)
      return
    }
    if (job.attempt < MAX_ATTEMPTS && !(await jobs.superseded(job.id))) {
      // False: the lease was given again this moment, or a newer run came to wait. The next sweep sees which.
      const when = { at: now, notBefore: now + RETRY_PAUSE * job.attempt }
      await jobs.requeue(attemptOf(job), when, requeueTrace(deps, job, 'lease-lapsed'), now)
      return
    }
    const end: End = { ...base, outcome: 'lost', reason: 'lease-lapsed' }
    const trace = endTrace(deps, job, end, { actor: 'system', hostname })
    if (await jobs.finish(attemptOf(job), end, trace, now)) await endWaiting(deps, job, end)
  }

  return {
    /**
     * Extends the leases of those attempts that still own their jobs, lapsed ones too: a lease lost only in
     * time is given again as long as no newer attempt was started.
     */
    async renew(
      asker: Asker,
      attempts: readonly (Attempt & { readonly progress?: Progress | undefined })[],
    ): Promise<{ leaseSeconds: number; cancel: string[]; gone: string[] }> {
      const now = clock.now()
      const held = await jobs.extend(
        asker.host,
        asker.batch,
        attempts.map(({ progress, ...attempt }) => ({ ...attempt, progress })),
        now + LEASE,
        now,
      )
      const kept = new Set(held.map(({ job }) => job))
      return {
        leaseSeconds: LEASE / SECOND,
        cancel: held.filter(({ cancelled }) => cancelled).map(({ job }) => job),
        gone: attempts.map(({ job }) => job).filter((job) => !kept.has(job)),
      }
    },

    /**
     * Gives up attempts whose lease and upload URLs are over, and queues the next attempt or ends the job.
     * For a timer, about once a minute. Does nothing within ten minutes of the start of this process.
     */
    async expire(): Promise<number> {
      if (clock.monotonic() - startedAt < GRACE) return 0
      const now = clock.now()
      const lapsed = await jobs.lapsed(now, SWEEP)
      await eachInTurn(lapsed, (job) => giveUp(job, now))
      return lapsed.length
    },
  }
}
export type Leases = ReturnType<typeof createLeases>

/** The event of a job that goes back into the queue. */
export function requeueTrace(
  deps: Basics,
  job: RunningJob,
  reason: string,
  actor = 'system',
): { events: [ReturnType<typeof newEvent>] } {
  return {
    events: [
      newEvent(deps, {
        actor,
        action: 'job.requeued',
        target: `job:${job.id}`,
        outcome: 'ok',
        host: job.host,
        job: job.id,
        details: { kind: job.kind, attempt: job.attempt, reason },
      }),
    ],
  }
}
