// The HTTPS calls of a session: one method per path under `/agent/v1/`, tried again while that can help.
import * as z from 'zod'
import type { Clock, Duration, Random } from '../../shared/clock.ts'
import { fraction, SECOND } from '../../shared/clock.ts'
import { type ErrorCode, HoldfastError } from '../../shared/errors.ts'
import {
  type CommitRequest,
  commitAnswer,
  commitRequest,
  type FinishRequest,
  finishRequest,
  leaseAnswer,
  leaseRequest,
  type RetireRequest,
  retireAnswer,
  retireRequest,
} from '../../shared/protocol/calls.ts'
import { checkShape } from '../../shared/protocol/wire.ts'
import type { PlaneHttp } from './http-client.ts'
import type { Session } from './session.ts'

/** How long a call waits for a session while the connection is being made again. */
const SESSION_PATIENCE: Duration = 15 * SECOND
/** Pauses between tries; after the last one the caller is told and decides. */
const PAUSES: readonly Duration[] = [0.5 * SECOND, 2 * SECOND, 6 * SECOND]

/** Worth the same call again within seconds. What a person or another call must change first is not. */
const transient: ReadonlySet<ErrorCode> = new Set([
  'plane-unavailable',
  'internal',
  'too-many',
  'conflict',
])

/** Answers without content. */
const anything = z.unknown()

export interface CallOptions {
  readonly signal?: AbortSignal | undefined
  /** Tries in all; by default one and the pauses after it. */
  readonly tries?: number
}

export interface Calls {
  /**
   * POST `body` to `/agent/v1/<path>` and check the answer. Rejects with a `HoldfastError`:
   * `plane-unavailable` when there was no session or no proper answer in all tries.
   */
  post<T>(path: string, body: unknown, answer: z.ZodType<T>, options?: CallOptions): Promise<T>
  lease(batch: string, request: LeaseRequest, options?: CallOptions): Promise<LeaseAnswer>
  commit(batch: string, request: CommitRequest, options?: CallOptions): Promise<CommitAnswer>
  /** How far the commit of this attempt is: its claims may be under comparison for a while. */
  commitState(
    batch: string,
    job: string,
    attempt: number,
    options?: CallOptions,
  ): Promise<CommitAnswer>
  retire(batch: string, request: RetireRequest, options?: CallOptions): Promise<RetireAnswer>
  /** How far the retirement of this attempt is. */
  retireState(
    batch: string,
    job: string,
    attempt: number,
    options?: CallOptions,
  ): Promise<RetireAnswer>
  finish(batch: string, request: FinishRequest, options?: CallOptions): Promise<void>
}
export type LeaseRequest = z.infer<typeof leaseRequest>
export type LeaseAnswer = z.infer<typeof leaseAnswer>
export type CommitAnswer = z.infer<typeof commitAnswer>
export type RetireAnswer = z.infer<typeof retireAnswer>

export function createCalls(deps: {
  http: PlaneHttp
  session: Session
  clock: Clock
  random: Random
}): Calls {
  const { http, session, clock, random } = deps

  async function once(method: 'GET' | 'POST', path: string, body: unknown, signal?: AbortSignal) {
    const bearer = await session.token(SESSION_PATIENCE, signal)
    if (bearer === undefined) {
      throw new HoldfastError('plane-unavailable', 'there is no session with the control plane')
    }
    try {
      const common = { method, path: `/agent/v1/${path}`, bearer }
      return await http({
        ...common,
        ...(method === 'POST' ? { body } : {}),
        ...(signal === undefined ? {} : { signal }),
      })
    } catch (error) {
      const code = error instanceof HoldfastError ? error.code : undefined
      if (code !== 'unauthenticated' && code !== 'token-expired') throw error
      // The far side forgot or ended the session: get a new one, then the same call may be made again.
      session.drop(bearer)
      throw new HoldfastError('plane-unavailable', 'the session is no longer known')
    }
  }

  async function call<T>(
    method: 'GET' | 'POST',
    path: string,
    body: unknown,
    answer: z.ZodType<T>,
    options: CallOptions = {},
  ): Promise<T> {
    const tries = options.tries ?? PAUSES.length + 1
    for (let tried = 1; ; tried++) {
      try {
        return checkShape(answer, await once(method, path, body, options.signal), 'answer')
      } catch (error) {
        const code = error instanceof HoldfastError ? error.code : undefined
        if (code === undefined || !transient.has(code) || tried >= tries) throw error
        const pause = PAUSES[Math.min(tried, PAUSES.length) - 1]!
        await clock.sleep(pause * (0.5 + fraction(random)), options.signal)
      }
    }
  }

  const post: Calls['post'] = (path, body, answer, options) =>
    call('POST', path, body, answer, options)
  return {
    post,
    lease: (batch, request, options) =>
      post(
        `batches/${batch}/lease`,
        checkShape(leaseRequest, request, 'lease'),
        leaseAnswer,
        options,
      ),
    commit: (batch, request, options) =>
      post(
        `batches/${batch}/commit`,
        checkShape(commitRequest, request, 'commit'),
        commitAnswer,
        options,
      ),
    commitState: (batch, job, attempt, options) =>
      call(
        'GET',
        `batches/${batch}/commits/${job}?attempt=${attempt}`,
        undefined,
        commitAnswer,
        options,
      ),
    retire: (batch, request, options) =>
      post(
        `batches/${batch}/retire`,
        checkShape(retireRequest, request, 'retire'),
        retireAnswer,
        options,
      ),
    retireState: (batch, job, attempt, options) =>
      call(
        'GET',
        `batches/${batch}/retirements/${job}?attempt=${attempt}`,
        undefined,
        retireAnswer,
        options,
      ),
    async finish(batch, request, options) {
      const path = `batches/${batch}/finish`
      await post(path, checkShape(finishRequest, request, 'finish'), anything, options)
    },
  }
}
