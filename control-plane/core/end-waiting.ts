// Jobs that wait for a repository end with the job that should have made it: nothing waits for ever.
import type { HostsStore } from '../ports/store/hosts.ts'
import type { End, RunningJob, RunningJobsStore } from '../ports/store/running-jobs.ts'
import type { Basics } from './deps.ts'
import { endTrace } from './job-end.ts'

export interface EndWaitingDeps extends Basics {
  readonly jobs: Pick<RunningJobsStore, 'waiting' | 'finishQueued'>
  readonly hosts: Pick<HostsStore, 'find'>
}

/**
 * After an init job that did not succeed: what waits for its repository ends the same way, for the same
 * reason. The next run makes a new init job. Any other job: nothing.
 */
export async function endWaiting(deps: EndWaitingDeps, init: RunningJob, end: End): Promise<void> {
  if (init.kind !== 'init' || end.outcome === 'succeeded') return
  const hostname = (await deps.hosts.find(init.host))?.name ?? init.host
  const message = `The repository could not be made.${end.message === null ? '' : ` ${end.message}`}`
  for (const job of await deps.jobs.waiting(init.repository)) {
    const same: End = { ...end, message, counts: null, report: null, at: deps.clock.now() }
    const trace = endTrace(deps, job, same, { actor: 'system', hostname })
    await deps.jobs.finishQueued(job.id, same, trace)
  }
}
