// The same conversation over HTTPS requests that wait, for networks that do not let a WebSocket through.
import type { Clock, Duration } from '../../shared/clock.ts'
import { SECOND } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { pollAnswer } from '../../shared/protocol/calls.ts'
import { fromControl } from '../../shared/protocol/from-control.ts'
import { challenge, reject, welcome } from '../../shared/protocol/hello.ts'
import { checkShape } from '../../shared/protocol/wire.ts'
import { helloOf, proveOf, RejectedError, type Self } from './greeting.ts'
import type { PlaneHttp } from './http-client.ts'
import type { LineEvents } from './line.ts'

/** How long the control plane may hold a request that has no frame to give, in seconds. */
const WAIT_SECONDS = 50
/** The answer's own way on top of that. */
const POLL_PATIENCE: Duration = (WAIT_SECONDS + 15) * SECOND

/** `value` as the schema says, unless it is a reject frame. */
function answerOf<T>(schema: Parameters<typeof checkShape<T>>[0], value: unknown): T {
  const refused = reject.safeParse(value)
  if (refused.success) throw new RejectedError(refused.data)
  return checkShape(schema, value, 'answer')
}

async function greet(http: PlaneHttp, self: Self, signal: AbortSignal) {
  const hello = { method: 'POST', path: '/agent/v1/hello', body: helloOf(self), signal } as const
  const asked = answerOf(challenge, await http(hello))
  const prove = {
    method: 'POST',
    path: '/agent/v1/prove',
    body: proveOf(self, asked),
    signal,
  } as const
  return answerOf(welcome, await http(prove))
}

/**
 * Talk for `lasting` ms, then resolve so that a socket may be tried again. Rejects on the first
 * request that fails, with `RejectedError` if the control plane said no.
 */
export async function talkByPolling(deps: {
  self: Self
  http: PlaneHttp
  clock: Clock
  events: LineEvents
  lasting: Duration
  signal: AbortSignal
}): Promise<void> {
  const { self, http, clock, events, lasting, signal } = deps
  const ends = clock.monotonic() + lasting
  let bearer: string | undefined
  while (clock.monotonic() < ends) {
    if (bearer === undefined || clock.monotonic() >= (events.renewAt() ?? 0)) {
      const greeted = await greet(http, self, signal)
      bearer = greeted.session
      events.welcome(greeted, 'poll')
    }
    const path = '/agent/v1/poll'
    const body = { boot: self.boot, waitSeconds: WAIT_SECONDS }
    const answer = await http({
      method: 'POST',
      path,
      body,
      bearer,
      patience: POLL_PATIENCE,
      signal,
    })
    for (const value of checkShape(pollAnswer, answer, 'answer').frames) {
      const frame = checkShape(fromControl, value, 'frame')
      if (frame.type === 'reject') throw new RejectedError(frame)
      if (frame.type === 'session') {
        bearer = frame.session
        events.session(frame)
      } else if (frame.type === 'challenge' || frame.type === 'welcome') {
        throw new HoldfastError('invalid', `a ${frame.type} frame in a poll`)
      } else {
        events.frame(frame)
      }
    }
  }
}
