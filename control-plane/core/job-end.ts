// What the end of a job leaves behind: an event always, an alert when people must know.

import type { AlertType } from '../../shared/alert/alert.ts'
import type { JobCounts } from '../../shared/backup/job.ts'
import { type Outcome, type Reason, reasons } from '../../shared/backup/outcome.ts'
import type { End, RunningJob } from '../ports/store/running-jobs.ts'
import type { Trace } from '../ports/store/trace.ts'
import { alertMessage } from './alert-message.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'

const alertOf: Partial<Record<Outcome, AlertType>> = {
  failed: 'job-failed',
  warning: 'job-warning',
  lost: 'job-lost',
}

/** Length of the agent's sentence inside an alert; the whole of it stands at the job. */
const MAX_SENTENCE = 1_000

/** `Backup of volume:data on host db-1 failed: … (sentence of the agent)` */
function sentence(job: RunningJob, hostname: string, end: End): string {
  const kind = `${job.kind[0]?.toUpperCase()}${job.kind.slice(1)}`
  const what = job.source === null ? kind : `${kind} of ${job.source}`
  const how: Partial<Record<Outcome, string>> = {
    failed: 'failed',
    warning: 'completed with warnings',
    lost: `was lost in ${job.attempt} attempts`,
  }
  const more = end.message === null ? '' : ` ${end.message.slice(0, MAX_SENTENCE)}`
  return `${what} on host ${hostname} ${how[end.outcome] ?? end.outcome}: ${reasons[end.reason]}.${more}`
}

/** `hostname` is the name of the job's host. A person waits for a browse job and sees it fail: no alert. */
export function endTrace(
  deps: Basics,
  job: RunningJob,
  end: End,
  who: { readonly actor: string; readonly hostname: string },
): Trace {
  // A prune that waits for a person's word has said so when it was told.
  const told = job.kind === 'browse' || end.reason === 'needs-approval'
  const type = told ? undefined : alertOf[end.outcome]
  const event = newEvent(deps, {
    actor: who.actor,
    action: 'job.finished',
    target: `job:${job.id}`,
    outcome: end.outcome === 'failed' || end.outcome === 'lost' ? 'failed' : 'ok',
    host: job.host,
    job: job.id,
    details: {
      kind: job.kind,
      attempt: job.attempt,
      outcome: end.outcome,
      reason: end.reason,
      ...(job.source === null ? {} : { source: job.source }),
      ...(job.policyName === null ? {} : { policy: job.policyName }),
      ...(end.counts === null
        ? {}
        : {
            files: end.counts.files,
            bytes: end.counts.bytes,
            milliseconds: end.counts.milliseconds,
          }),
    },
  })
  if (type === undefined) return { events: [event] }
  return {
    events: [event],
    messages: [
      alertMessage(deps, type, {
        message: sentence(job, who.hostname, end),
        hostname: who.hostname,
        job: job.id,
        ...(job.source === null ? {} : { source: job.source }),
        ...(job.policyName === null ? {} : { policy: job.policyName }),
        outcome: end.outcome,
        reason: end.reason,
      }),
    ],
  }
}

/** What a snapshot's own counts say of its run, when the agent's word about it is missing. */
export function outcomeOf(counts: JobCounts): { outcome: Outcome; reason: Reason } {
  if ((counts.unreadable ?? 0) > 0) return { outcome: 'warning', reason: 'files-unreadable' }
  if ((counts.changed ?? 0) > 0) return { outcome: 'warning', reason: 'files-changed' }
  return { outcome: 'succeeded', reason: 'completed' }
}
