// A forward proxy as companies have them: CONNECT only, with Basic authentication, over http or https.

import { createServer, type IncomingMessage } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect, type Socket } from 'node:net'
import type { Certificate } from './certificates.ts'
import { createWire, type Wire } from './wire.ts'

export interface ConnectProxyOptions {
  /** Without one, nobody is asked. */
  readonly username?: string
  readonly password?: string
  /** Speak TLS to clients. */
  readonly certificate?: Certificate
  /**
   * Where names lead, `host:port` → `host:port`. A name that no DNS knows reaches its server through this proxy
   * only, which proves that it was used. Others are resolved as usual.
   */
  readonly hosts?: Readonly<Record<string, string>>
}

export interface ConnectRequest {
  /** `host:port` as the client asked for it. */
  readonly target: string
  readonly authorised: boolean
  /** What the client was answered; 0 while it waits. */
  readonly status: number
}

export interface ConnectProxy {
  /** For HTTPS_PROXY, with user name and password. */
  readonly url: string
  /** The same without them. */
  readonly bareUrl: string
  readonly port: number
  /** Everything that was asked for, in order. */
  readonly requests: readonly ConnectRequest[]
  /** The open tunnels: cut, hold, slow them here. */
  readonly tunnels: Wire
  /** Answers every CONNECT with this status, e.g. 403 or 502; undefined ends that. */
  refuseWith(status: number | undefined): void
  /** While true, a CONNECT gets no answer at all. */
  blackHole(on: boolean): void
  stop(): Promise<void>
}

/** Starts a proxy on a free port of loopback. */
export async function startConnectProxy(options: ConnectProxyOptions = {}): Promise<ConnectProxy> {
  const { username, password = '', certificate, hosts = {} } = options
  const tunnels = createWire()
  const requests: ConnectRequest[] = []
  const clients = new Set<Socket>()
  let refusal: number | undefined
  let silent = false

  const wanted =
    username === undefined
      ? undefined
      : `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`

  const plain = (_request: IncomingMessage, response: import('node:http').ServerResponse) => {
    response.writeHead(405, { allow: 'CONNECT' }).end('This proxy makes tunnels only.\n')
  }
  const server = certificate
    ? createTlsServer({ ...certificate, allowHalfOpen: true } as object, plain)
    : createServer(plain)
  server.on('connection', (socket: Socket) => {
    clients.add(socket)
    socket.on('close', () => clients.delete(socket)).on('error', () => {})
  })
  server.on('connect', (request: IncomingMessage, client: Socket, early: Buffer) => {
    const target = request.url ?? ''
    const authorised = wanted === undefined || request.headers['proxy-authorization'] === wanted
    const entry = { target, authorised, status: 0 }
    requests.push(entry)
    client.on('error', () => {})
    const answer = (status: number, words: string, headers: readonly string[] = []) => {
      entry.status = status
      client.end(
        [`HTTP/1.1 ${status} ${words}`, ...headers, 'Content-Length: 0', '', ''].join('\r\n'),
      )
    }
    if (silent) return
    if (!authorised) {
      answer(407, 'Proxy Authentication Required', ['Proxy-Authenticate: Basic realm="test"'])
      return
    }
    if (refusal !== undefined) {
      answer(refusal, 'Refused')
      return
    }
    const address = hosts[target] ?? target
    const colon = address.lastIndexOf(':')
    const host = address.slice(0, colon).replace(/^\[|\]$/g, '')
    const far = connect({ host, port: Number(address.slice(colon + 1)), allowHalfOpen: true })
    far.once('error', () => {
      if (entry.status === 0) answer(502, 'Bad Gateway')
    })
    far.once('connect', () => {
      entry.status = 200
      client.write('HTTP/1.1 200 Connection Established\r\n\r\n')
      tunnels.join(client, far, early)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const scheme = certificate ? 'https' : 'http'
  const user =
    username === undefined ? '' : `${encodeURIComponent(username)}:${encodeURIComponent(password)}@`
  return {
    url: `${scheme}://${user}127.0.0.1:${port}`,
    bareUrl: `${scheme}://127.0.0.1:${port}`,
    port,
    requests,
    tunnels,
    refuseWith(status) {
      refusal = status
    },
    blackHole(on) {
      silent = on
    },
    async stop() {
      const closed = new Promise((done) => server.close(done))
      tunnels.hold(false)
      tunnels.cut()
      server.closeAllConnections()
      for (const socket of clients) socket.destroy()
      await closed
    },
  }
}
