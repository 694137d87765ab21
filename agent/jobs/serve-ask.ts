// What a mover asks for, answered by calls to the control plane.
import type * as z from 'zod'
import { receiptBytes } from '../../shared/backup/receipt.ts'
import { retirementBytes } from '../../shared/backup/retirement.ts'
import { type Clock, type Duration, fraction, type Random, SECOND } from '../../shared/clock.ts'
import { errorCodes, HoldfastError } from '../../shared/errors.ts'
import { checkShape } from '../../shared/protocol/wire.ts'
import { type AskName, type AskRequest, asks, type ToMover } from '../ipc/messages.ts'
import type { CommitAnswer, Plane, RetireAnswer } from './plane.ts'

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
  if (name === 'retire') return retire(deps, body as AskRequest<'retire'>)
  if (name !== 'exchange') return pass(deps, name, body)
  await deps.mayExchange((body as AskRequest<'exchange'>).job)
  return {}
}

/** A mover speaks for the jobs of its batch and for no other. */
function requireOwn(deps: AskDeps, name: AskName, body: unknown): void {
  const { job, attempt, fence } = attemptIn(name, body)
  const own = deps.attemptOf(job)
  if (own === undefined || own.attempt !== attempt || own.fence !== fence) {
    throw new HoldfastError('forbidden', 'the question is about an attempt of another batch')
  }
}

function attemptIn(name: AskName, body: unknown): { job: string; attempt: number; fence: number } {
  if (name === 'commit') return (body as AskRequest<'commit'>).receipt
  if (name === 'retire') return (body as AskRequest<'retire'>).retirement
  return body as { job: string; attempt: number; fence: number }
}

function pass(
  deps: AskDeps,
  name: Exclude<AskName, 'commit' | 'retire' | 'exchange'>,
  body: unknown,
): Promise<unknown> {
  const answer = asks[name].answer as z.ZodType<unknown>
  return deps.plane.post(`batches/${deps.batch}/${name}`, body, answer, { signal: deps.signal })
}

/** Sign and send; the claims are then compared with the store. */
async function commit(deps: AskDeps, body: AskRequest<'commit'>): Promise<CommitAnswer> {
  const { plane, batch, signal } = deps
  const { receipt } = body
  if (receipt.host !== deps.host)
    throw new HoldfastError('forbidden', 'the receipt names another host')
  if (!deps.stillThere(receipt.job)) {
    throw new HoldfastError('in-use', 'the source was unmounted or replaced while it was read')
  }
  const signed = { ...body, signature: deps.sign(receiptBytes(receipt)) }
  return settled(
    deps,
    () => plane.commit(batch, signed, { signal }),
    () => plane.commitState(batch, receipt.job, receipt.attempt, { signal }),
  )
}

/** Sign and send; what was added is then compared with the store, and replaced index files go. */
async function retire(deps: AskDeps, body: AskRequest<'retire'>): Promise<RetireAnswer> {
  const { plane, batch, signal } = deps
  const { retirement } = body
  if (retirement.host !== deps.host)
    throw new HoldfastError('forbidden', 'the retirement names another host')
  const signed = { ...body, signature: deps.sign(retirementBytes(retirement)) }
  return settled(
    deps,
    () => plane.retire(batch, signed, { signal }),
    () => plane.retireState(batch, retirement.job, retirement.attempt, { signal }),
  )
}

/** Send; repeat while nobody answers, and ask on while the answer is not final. */
async function settled<A extends { readonly state: string }>(
  { clock, random, signal }: AskDeps,
  send: () => Promise<A>,
  state: () => Promise<A>,
): Promise<A> {
  let answer: A | undefined
  for (let pause = FIRST_POLL; ; pause = Math.min(pause * 2, LAST_POLL)) {
    try {
      answer = answer === undefined ? await send() : await state()
      if (answer.state !== 'checking') return answer
      await clock.sleep(pause, signal)
    } catch (error) {
      if (signal.aborted || !worthRepeating(error)) throw error
      // Not knowing whether it arrived, the same bytes go again: they are taken once.
      answer = undefined
      await clock.sleep(COMMIT_RETRY * (0.5 + fraction(random)), signal)
    }
  }
}
