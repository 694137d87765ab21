// A faulty cable between any client and any server of a test.

import { connect, createServer, type Socket } from 'node:net'
import { createWire, type Wire } from './wire.ts'

export interface TcpProxy extends Wire {
  readonly host: string
  readonly port: number
  /** Connections accepted since the start. */
  readonly accepted: number
  /** While true, new connections are reset at once. */
  refuse(on: boolean): void
  stop(): Promise<void>
}

/** Listens on a free port of loopback and carries everything to `target`. */
export async function startTcpProxy(target: { host?: string; port: number }): Promise<TcpProxy> {
  const wire = createWire()
  let accepted = 0
  let refusing = false
  const server = createServer({ allowHalfOpen: true }, (client: Socket) => {
    accepted++
    if (refusing) {
      client.resetAndDestroy()
      return
    }
    const { host = '127.0.0.1', port } = target
    wire.join(client, connect({ host, port, allowHalfOpen: true }))
  })
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  const own = {
    host: '127.0.0.1',
    port: typeof address === 'object' && address !== null ? address.port : 0,
    refuse(on: boolean) {
      refusing = on
    },
    async stop() {
      const closed = new Promise((done) => server.close(done))
      wire.hold(false)
      wire.cut()
      await closed
    },
  }
  // Not a spread: the wire's counters are read, and its switches set, through this object.
  return Object.defineProperty(Object.assign(wire, own), 'accepted', {
    get: () => accepted,
  }) as TcpProxy
}
