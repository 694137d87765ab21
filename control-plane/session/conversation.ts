// One socket's conversation, from hello to the end. It knows nothing of sockets but `send` and `close`.
import { type Clock, type Duration, SECOND } from '../../shared/clock.ts'
import { errorCodes, HoldfastError } from '../../shared/errors.ts'
import { type FromAgent, fromAgent } from '../../shared/protocol/from-agent.ts'
import type { Reject } from '../../shared/protocol/hello.ts'
import { decodeFrame } from '../../shared/protocol/wire.ts'
import type { AgentServices } from '../core/agent-services.ts'
import type { Defer, Log } from '../core/log.ts'
import type { AgentIdentity } from '../core/sessions.ts'
import { describeFault } from './describe-fault.ts'
import type { Line, Lines } from './lines.ts'

/** From the open socket to the proof. */
const GREETING_PATIENCE: Duration = 20 * SECOND
/** Frames an agent may have waiting for us: it has no reason to send more than one. */
const MAX_WAITING = 8
/** What an agent waits after a refusal that may pass, in seconds. */
const RETRY_AFTER = 30

/** WebSocket close codes (RFC 6455, 7.4.1). */
const NORMAL = 1000
const POLICY = 1008
const INTERNAL = 1011

export interface ConversationDeps {
  readonly agents: Pick<AgentServices, 'sessions' | 'dispatch'>
  readonly lines: Lines
  readonly clock: Clock
  readonly defer: Defer
  readonly log: Log
}

export interface Conversation {
  /** One text frame. */
  take(text: string): void
  /** The socket is closed, by whomever. */
  over(): void
}

/** Why an agent is turned away, in a frame it can read whatever its version. */
export function rejectFrame(error: unknown): Reject {
  const known = error instanceof HoldfastError ? error : undefined
  const code = known?.code ?? 'internal'
  const message = known?.message ?? 'a fault of the control plane; its log has the details'
  const text = known?.hint === undefined ? message : `${message}; ${known.hint}`
  return {
    type: 'reject',
    code,
    message: text.slice(0, 1_000),
    ...(errorCodes[code].retryable ? { retryAfterSeconds: RETRY_AFTER } : {}),
  }
}

export function createConversation(deps: ConversationDeps, line: Line): Conversation {
  const { agents, lines, clock, defer, log } = deps
  const ended = new AbortController()
  let agent: AgentIdentity | undefined
  let detach: (() => void) | undefined
  let waiting = 0
  let turn: Promise<void> = Promise.resolve()

  clock.sleep(GREETING_PATIENCE, ended.signal).then(
    () => {
      if (agent === undefined) line.close(POLICY, 'no proof in time')
    },
    () => undefined, // ended before
  )

  function over(): void {
    ended.abort()
    detach?.()
    detach = undefined
  }

  async function answer(frame: FromAgent): Promise<void> {
    if (frame.type === 'hello' && agent === undefined) {
      line.send(await agents.sessions.challenge(frame))
    } else if (frame.type === 'prove' && agent === undefined) {
      const greeted = await agents.sessions.welcome(frame)
      if (ended.signal.aborted) return
      agent = greeted.agent
      line.send(greeted.welcome)
      detach = lines.attach(agent.host, line)
      const { host } = agent
      defer('send what waits for a host', () => agents.dispatch.host(host))
      defer('tell a host its limits', () => agents.dispatch.connected(host))
    } else if (frame.type === 'renew' && agent !== undefined) {
      line.send({ type: 'session', ...(await agents.sessions.renew(agent)) })
    } else {
      throw new HoldfastError('invalid', `a ${frame.type} frame at this point`)
    }
  }

  async function takeOne(text: string): Promise<void> {
    if (ended.signal.aborted) return
    try {
      await answer(decodeFrame(fromAgent, text))
    } catch (error) {
      const known = error instanceof HoldfastError
      if (!known) log.error('A frame of an agent could not be answered.', describeFault(error))
      line.send(rejectFrame(error))
      const code = !known ? INTERNAL : error.code === 'invalid' ? POLICY : NORMAL
      line.close(code, known ? error.code : 'internal')
      over()
    }
  }

  return {
    take(text) {
      if (++waiting > MAX_WAITING) {
        line.close(POLICY, 'too many frames')
        over()
        return
      }
      turn = turn.then(() => takeOne(text)).finally(() => waiting--)
    },
    over,
  }
}
