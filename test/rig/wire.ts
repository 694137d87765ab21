// What both proxies carry their bytes over: pairs of sockets that can be cut, held, slowed and narrowed.

import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { TLSSocket } from 'node:tls'

export interface Wire {
  /** Pairs connected now. */
  readonly open: number
  /** Bytes carried from clients to servers, and back, since the start. */
  readonly sent: number
  readonly received: number
  /** Each piece of data waits this long first, in milliseconds. */
  latency: number
  /** Bytes per second in each direction of each pair; Infinity (the default) for no limit. */
  bandwidth: number
  /** Resets each pair once it carried that many bytes to its server; undefined (the default) ends that. */
  cutAfter: number | undefined
  /** Resets every open pair. */
  cut(): void
  /** While true nothing is carried and no pair ends: packets are lost and nobody says so. */
  hold(on: boolean): void
  /** Carries everything between the two until either ends; `early` goes to the server first. */
  join(client: Socket, server: Socket, early?: Buffer): void
}

/** Only a plain TCP socket can send a reset itself; one with TLS on it is just closed. */
function reset(socket: Socket): void {
  if (socket instanceof TLSSocket) socket.destroy()
  else socket.resetAndDestroy()
}

/** Both sockets must have been made with `allowHalfOpen`, or an answer after the client's end is lost. */
export function createWire(): Wire {
  const pairs = new Set<readonly [Socket, Socket]>()
  let released: Promise<void> = Promise.resolve()
  let release = () => {}
  let sent = 0
  let received = 0

  const write = async (to: Socket, piece: Buffer) => {
    if (to.destroyed || to.write(piece)) return
    await new Promise<void>((resolve) => {
      const go = () => {
        to.off('drain', go).off('close', go)
        resolve()
      }
      to.once('drain', go).once('close', go)
    })
  }
  const carry = async (from: Socket, to: Socket, count: (bytes: number) => void) => {
    for await (const piece of from as AsyncIterable<Buffer>) {
      const seconds = wire.latency / 1000 + piece.length / wire.bandwidth
      if (seconds > 0) await sleep(seconds * 1000)
      await released
      count(piece.length)
      await write(to, piece)
    }
    await released
    to.end()
  }
  const wire: Wire = {
    get open() {
      return pairs.size
    },
    get sent() {
      return sent
    },
    get received() {
      return received
    },
    latency: 0,
    bandwidth: Number.POSITIVE_INFINITY,
    cutAfter: undefined,
    cut() {
      for (const pair of pairs) for (const socket of pair) reset(socket)
    },
    hold(on) {
      release()
      released = Promise.resolve()
      if (on)
        released = new Promise((go) => {
          release = go
        })
    },
    join(client, server, early) {
      const pair = [client, server] as const
      pairs.add(pair)
      const resetPair = () => {
        for (const socket of pair) reset(socket)
      }
      // The loops below learn of every error too; without a listener it would end the process.
      for (const socket of pair) socket.on('error', () => {})
      let mine = 0
      const countSent = (bytes: number) => {
        sent += bytes
        mine += bytes
        if (wire.cutAfter !== undefined && mine >= wire.cutAfter) throw new Error('cut')
      }
      const countReceived = (bytes: number) => {
        received += bytes
      }
      if (early !== undefined && early.length > 0) client.unshift(early)
      Promise.all([carry(client, server, countSent), carry(server, client, countReceived)])
        .catch(async () => {
          await released
          resetPair()
        })
        .finally(() => pairs.delete(pair))
    },
  }
  return wire
}
