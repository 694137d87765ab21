// Agents' WebSockets on Node: the upgrade, pings, and text frames in and out.
import { upgradeWebSocket } from '@hono/node-server'
import type { Context, MiddlewareHandler } from 'hono'
import { type WebSocket, WebSocketServer } from 'ws'
import { type Clock, type Duration, SECOND } from '../../shared/clock.ts'
import { fromControl } from '../../shared/protocol/from-control.ts'
import { encodeFrame, MAX_FRAME } from '../../shared/protocol/wire.ts'
import type { Log } from '../core/log.ts'
import { type Conversation, createConversation } from '../session/conversation.ts'
import { describeFault } from '../session/describe-fault.ts'
import type { Line } from '../session/lines.ts'
import { createRateLimit } from '../session/rate-limit.ts'

/** Keeps proxies from forgetting the path; many do after a minute. Says nothing of the host's life. */
const PING_EVERY: Duration = 30 * SECOND
/** Sockets per address, as the greetings over HTTPS. */
const UPGRADES = { burst: 600, perSecond: 10 }
/** Unsent bytes of one socket above which its far side is taken for dead: a few frames. */
const MAX_BUFFERED = 4 * MAX_FRAME

export interface SocketsDeps {
  readonly conversation: Parameters<typeof createConversation>[0]
  readonly clock: Clock
  readonly log: Log
  readonly remoteAddress: (context: Context) => string
}

/**
 * `handler` belongs at `GET /agent/v1/connect`, `server` into `serve({ websocket: { server } })`.
 * `close` ends every socket: their agents dial again, elsewhere or later.
 */
export function createSockets(deps: SocketsDeps): {
  server: WebSocketServer
  handler: MiddlewareHandler
  close(): void
} {
  const { clock, log, remoteAddress } = deps
  // Frames are counted in UTF-16 code units; what an agent sends is plain ASCII and short.
  const server = new WebSocketServer({ noServer: true, maxPayload: MAX_FRAME })
  const upgrades = createRateLimit(clock, UPGRADES)
  const stopped = new AbortController()
  const answered = new WeakSet<WebSocket>()

  const upgrade = upgradeWebSocket(
    () => {
      let conversation: Conversation | undefined
      return {
        onOpen(_event, ws) {
          const socket = ws.raw as unknown as WebSocket
          answered.add(socket)
          socket.on('pong', () => answered.add(socket))
          conversation = createConversation(deps.conversation, lineOf(socket))
        },
        onMessage(event, ws) {
          if (typeof event.data === 'string') conversation?.take(event.data)
          else ws.close(1003, 'frames are text')
        },
        onClose: () => conversation?.over(),
      }
    },
    { onError: (error) => log.warn('A socket of an agent failed.', describeFault(error)) },
  )

  function lineOf(socket: WebSocket): Line {
    return {
      send(frame) {
        if (socket.readyState !== socket.OPEN) return
        socket.send(encodeFrame(fromControl, frame))
        if (socket.bufferedAmount > MAX_BUFFERED) socket.terminate()
      },
      close: (code, reason) => socket.close(code, reason),
    }
  }

  async function pingAll(): Promise<void> {
    for (;;) {
      await clock.sleep(PING_EVERY, stopped.signal)
      for (const socket of server.clients) {
        if (!answered.delete(socket)) socket.terminate()
        else if (socket.readyState === socket.OPEN) socket.ping()
      }
    }
  }
  pingAll().catch(() => undefined) // ends when stopped

  return {
    server,
    handler: async (c, next) => {
      if (!upgrades.take(remoteAddress(c))) return c.text('too many connections', 429)
      return upgrade(c, next)
    },
    close() {
      stopped.abort()
      for (const socket of server.clients) socket.close(1012, 'the control plane restarts')
      server.close()
    },
  }
}
