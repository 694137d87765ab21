// What a mover asks for, answered by calls to the control plane.
import type * as z from 'zod'
import { receiptBytes } from '../../shared/backup/receipt.ts'
import { type Clock, type Duration, fraction, type Random, SECOND } from '../../shared/clock.ts'
import { errorCodes, HoldfastError } from '../../shared/errors.ts'
import { checkShape } from '../../shared/protocol/wire.ts'
import { type AskName, type AskRequest, asks, type ToMover } from '../ipc/messages.ts'
import type { CommitAnswer, Plane } from './plane.ts'

/**
 * Between two questions about a commit whose claims are being compared with the store. A few claims take
 * milliseconds, and a batch has up to a hundred commits one after the other; half a million take a minute.
 */
const FIRST_POLL: Duration = SECOND / 40
const LAST_POLL: Duration = 5 * SECOND
/** Between two tries of a commit while the control plane is away. */
const COMMIT_RETRY: Duration = 10 * SECOND

export interface AskDeps {
  readonly plane: Plane
  readonly batch: string
  readonly host: string
  /** Ed25519 signature, 128 hex digits. */
  readonly sign: (bytes: Uint8Array) => string
  /** The attempt of this batch that `job` is, if it is one. */
  readonly attemptOf: (job: string) => { attempt: number; fence: number } | undefined
  /** Is what this job read still its source? */
  readonly stillThere: (job: string) => boolean
  /** Rejects when the live tree of an in-place restore must not be replaced now. */
  readonly mayExchange: (job: string) => Promise<void>
  readonly clock: Clock
  readonly random: Random
  readonly signal: AbortSignal
}

type Answer = Extract<ToMover, { type: 'answer' | 'refusal' }>

/** Could the very same call succeed later? Epoch and claims need other content, whatever the table says of them. */
export function worthRepeating(error: unknown): boolean {
  if (!(error instanceof HoldfastError)) return false
  if (error.code === 'epoch-stale' || error.code === 'claims-missing') return false
  return errorCodes[error.code].retryable
}

/** Answer one question; never rejects: what goes wrong is the refusal. */
export async function serveAsk(
  deps: AskDeps,
  question: { ask: number; name: AskName; body: unknown },
): Promise<Answer> {
  const { ask, name } = question
  try {
    const body = checkShape(asks[name].request as z.ZodType<unknown>, question.body, name)
    requireOwn(deps, name, body)
    return { type: 'answer', ask, body: await answerTo(deps, name, body) }
  } catch (error) {
    const known = error instanceof HoldfastError
    return {
      type: 'refusal',
      ask,
      code: known ? error.code : 'internal',
      message: known ? error.message : 'a fault in the supervisor',
      retryable: worthRepeating(error),
    }
  }
}

async function answerTo(deps: AskDeps, name: AskName, body: unknown): Promise<unknown> {
  if (name === 'commit') return commit(deps, body as AskRequest<'commit'>)
  if (name !== 'exchange') return pass(deps, name, body)
  await deps.mayExchange((body as AskRequest<'exchange'>).job)
  return {}
}

/** A mover speaks for the jobs of its batch and for no other. */
function requireOwn(deps: AskDeps, name: AskName, body: unknown): void {
  const { job, attempt, fence } = (
    name === 'commit' ? (body as AskRequest<'commit'>).receipt : body
  ) as { job: string; attempt: number; fence: number }
  const own = deps.attemptOf(job)
  if (own === undefined || own.attempt !== attempt || own.fence !== fence) {
    throw new HoldfastError('forbidden', 'the question is about an attempt of another batch')
  }
}

function pass(
  deps: AskDeps,
  name: Exclude<AskName, 'commit' | 'exchange'>,
  body: unknown,
): Promise<unknown> {
  const answer = asks[name].answer as z.ZodType<unknown>
  return deps.plane.post(`batches/${deps.batch}/${name}`, body, answer, { signal: deps.signal })
}

/** Sign and send; repeat while nobody answers, and ask on while the claims are compared with the store. */
async function commit(deps: AskDeps, body: AskRequest<'commit'>): Promise<CommitAnswer> {
  const { plane, batch, clock, random, signal } = deps
  const { receipt } = body
  if (receipt.host !== deps.host)
    throw new HoldfastError('forbidden', 'the receipt names another host')
  if (!deps.stillThere(receipt.job)) {
    throw new HoldfastError('in-use', 'the source was unmounted or replaced while it was read')
  }
  const signed = { ...body, signature: deps.sign(receiptBytes(receipt)) }
  let answer: CommitAnswer | undefined
  for (let pause = FIRST_POLL; ; pause = Math.min(pause * 2, LAST_POLL)) {
    try {
      answer =
        answer === undefined
          ? await plane.commit(batch, signed, { signal })
          : await plane.commitState(batch, receipt.job, receipt.attempt, { signal })
      if (answer.state !== 'checking') return answer
      await clock.sleep(pause, signal)
    } catch (error) {
      if (signal.aborted || !worthRepeating(error)) throw error
      // Not knowing whether the commit arrived, the same bytes go again: it is accepted once.
      answer = undefined
      await clock.sleep(COMMIT_RETRY * (0.5 + fraction(random)), signal)
    }
  }
}
