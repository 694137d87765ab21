// The conversation over one WebSocket, from the dial to its end.
import { WebSocket } from 'ws'
import type { Clock, Duration } from '../../shared/clock.ts'
import { SECOND } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { type FromAgent, fromAgent } from '../../shared/protocol/from-agent.ts'
import { type FromControl, fromControl } from '../../shared/protocol/from-control.ts'
import { decodeFrame, encodeFrame, MAX_FRAME } from '../../shared/protocol/wire.ts'
import { dispatcherFor, type Network } from '../storage/dispatcher.ts'
import { helloOf, proveOf, RejectedError, type Self } from './greeting.ts'
import type { LineEvents } from './line.ts'

/** From the dial to the welcome. */
const GREETING_PATIENCE: Duration = 30 * SECOND
/** Pings keep proxies and firewalls from forgetting the path; some do after a minute of silence. */
const PING_EVERY: Duration = 25 * SECOND
/** Without any sign for this long the path is dead. */
const SILENCE: Duration = 60 * SECOND
/** A frame is at most 1 Mi UTF-16 code units, each at most three bytes of UTF-8. */
const MAX_FRAME_BYTES = MAX_FRAME * 3

/**
 * Dial and talk until the line ends. Resolves when a line that had been welcomed ended; rejects when
 * it never got that far, with `RejectedError` if the control plane said no. `signal` hangs up.
 */
export async function talkOverSocket(deps: {
  self: Self
  network: Network
  clock: Clock
  events: LineEvents
  signal: AbortSignal
}): Promise<void> {
  const { self, network, clock, events, signal } = deps
  const url = new URL('/agent/v1/connect', self.origin)
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:'
  const socket = new WebSocket(url, {
    agent: dispatcherFor(url, network),
    handshakeTimeout: GREETING_PATIENCE,
    maxPayload: MAX_FRAME_BYTES,
    perMessageDeflate: false,
    headers: { 'user-agent': `holdfast-agent/${self.version}` },
  })
  const line = new AbortController()
  let welcomed = false
  let failure: Error | undefined
  let lastSign = clock.monotonic()
  const send = (frame: FromAgent) => socket.send(encodeFrame(fromAgent, frame))

  function take(frame: FromControl): void {
    if (frame.type === 'reject') throw new RejectedError(frame)
    if (frame.type === 'challenge') send(proveOf(self, frame))
    else if (frame.type === 'welcome') {
      welcomed = true
      events.welcome(frame, 'socket')
    } else if (!welcomed) {
      throw new HoldfastError('invalid', `a ${frame.type} frame before the welcome`)
    } else if (frame.type === 'session') events.session(frame)
    else events.frame(frame)
  }

  socket.on('open', () => send(helloOf(self)))
  for (const sign of ['message', 'ping', 'pong'] as const) {
    socket.on(sign, () => {
      lastSign = clock.monotonic()
    })
  }
  socket.on('message', (data, isBinary) => {
    try {
      if (isBinary) throw new HoldfastError('invalid', 'a binary frame')
      take(decodeFrame(fromControl, String(data)))
    } catch (error) {
      failure = error as Error
      socket.close(error instanceof RejectedError ? 1000 : 1008)
    }
  })
  socket.on('error', (error) => {
    failure ??= error
  })
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => {
      line.abort()
      resolve()
    })
  })
  const hangUp = () => socket.terminate()
  signal.addEventListener('abort', hangUp, { once: true })

  const watch = async () => {
    const started = clock.monotonic()
    for (;;) {
      const until = events.renewAt() ?? Number.POSITIVE_INFINITY
      const pause = Math.min(PING_EVERY, Math.max(SECOND, until - clock.monotonic()))
      await clock.sleep(pause, line.signal)
      const now = clock.monotonic()
      const late = !welcomed && now - started > GREETING_PATIENCE
      if (late || now - lastSign > SILENCE) return socket.terminate()
      if (socket.readyState !== WebSocket.OPEN) continue
      if (welcomed && now >= (events.renewAt() ?? Number.POSITIVE_INFINITY)) send({ type: 'renew' })
      socket.ping()
    }
  }
  await Promise.all([closed, watch().catch(() => {})])
  signal.removeEventListener('abort', hangUp)
  if (signal.aborted) throw signal.reason
  if (failure instanceof RejectedError) throw failure
  if (welcomed && !(failure instanceof HoldfastError)) return
  throw failure ?? new HoldfastError('plane-unavailable', 'the line ended before the welcome')
}
