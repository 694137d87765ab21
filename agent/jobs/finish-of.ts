// How a job ended, in the words of the protocol.
import type { Outcome, Reason } from '../../shared/backup/outcome.ts'
import { type FinishRequest, finishRequest } from '../../shared/protocol/calls.ts'
import type { AssignedJob } from '../../shared/protocol/from-control.ts'
import type { FromMover } from '../ipc/messages.ts'
import type { Log } from '../log/log.ts'
import type { MoverEnd } from './mover-process.ts'

export type Ending = {
  outcome: Exclude<Outcome, 'missed'>
  reason: Reason
  message?: string | undefined
} & Partial<Pick<Extract<FromMover, { type: 'done' }>, 'counts' | 'report'>>

/** Details that break their rules are left out: that it ended has to be told. */
export function finishOf(
  { log }: { readonly log: Log },
  batch: string,
  job: AssignedJob,
  ending: Ending,
): FinishRequest {
  const { id, attempt, fence } = job
  const { outcome, reason, message, counts, report } = ending
  const least = { job: id, attempt, fence, outcome, reason }
  const text = message === undefined ? {} : { message: message.slice(0, 1_000) }
  const full = finishRequest.safeParse({ ...least, ...text, counts, report })
  if (full.success) return full.data
  log.error('the details of an outcome break their rules and are left out', {
    batch,
    job: id,
    error: full.error.issues.map((issue) => issue.path.join('.')).join(', '),
  })
  return finishRequest.parse({ ...least, ...text })
}

/** How a job ended whose mover went without a word about it. */
export function endOfDeath({ code, signal }: MoverEnd, tookTooMuch: boolean): Ending {
  if (tookTooMuch) {
    const message = 'the kernel ended the mover: it needed more memory than it may use'
    return { outcome: 'failed', reason: 'memory-limit', message }
  }
  const how = signal === null ? `exit code ${code}` : `signal ${signal}`
  return { outcome: 'lost', reason: 'mover-died', message: `the mover ended with ${how}` }
}
