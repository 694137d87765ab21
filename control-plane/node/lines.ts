// Connected agents of this process, in memory: sockets, and polls that wait.
import type { Clock } from '../../shared/clock.ts'
import type { FromControl } from '../../shared/protocol/from-control.ts'
import type { Connections } from '../ports/connections.ts'
import type { Line, Lines } from '../session/lines.ts'

/** Close codes of our own (4000-4999 are free for applications, RFC 6455, 7.4.2). */
const REPLACED = 4000
const ENDED = 4001

export function createLines(clock: Clock): Lines & Connections {
  const lines = new Map<string, Line>()

  function attach(host: string, line: Line): () => void {
    const old = lines.get(host)
    lines.set(host, line)
    old?.close(REPLACED, 'a newer connection of this host took over')
    return () => {
      if (lines.get(host) === line) lines.delete(host)
    }
  }

  return {
    attach,
    async wait(host, ms, signal) {
      const frames: FromControl[] = []
      const done = new AbortController()
      const detach = attach(host, {
        send(frame) {
          frames.push(frame)
          done.abort()
        },
        close: () => done.abort(),
      })
      const either = AbortSignal.any([done.signal, signal])
      await clock.sleep(ms, either).catch(() => undefined)
      // One more turn of the loop: what is sent right after the first frame travels with it.
      await clock.sleep(0)
      detach()
      return frames
    },
    async send(host, frame) {
      const line = lines.get(host)
      line?.send(frame)
      return line !== undefined
    },
    async close(host, reason) {
      lines.get(host)?.close(ENDED, reason)
    },
    connected: (host) => lines.has(host),
  }
}
