// The listening socket: TLS that follows its files, doors in order, a stop that lets requests finish.
import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createSecureContext } from 'node:tls'
import { createAdaptorServer, type HttpBindings } from '@hono/node-server'
import type { WebSocketServer } from 'ws'
import { HoldfastError } from '../../shared/errors.ts'
import type { Log } from '../core/log.ts'
import { clientAddress, type ProxyList } from './client-address.ts'

/** How often the files of TLS are looked at, in ms: renewals come weeks ahead of expiry. */
const WATCH_EVERY = 5_000
/** Patience for the headers of a request and for a whole request, in ms: bodies are ≤ 1 MiB but for the vault door's. */
const HEADERS_TIMEOUT = 30_000
/** How long requests under way may finish when stopping, in ms. */
const STOP_PATIENCE = 10_000

/** What every request carries: the runtime's own, and the client's address behind trusted proxies. */
export type ServerEnv = HttpBindings & { address: string }
type Fetch = (request: Request, env: ServerEnv) => Response | Promise<Response>

export interface ServeOptions {
  readonly listen: { readonly host: string; readonly port: number }
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined
  readonly trustedProxies: ProxyList
  /** Asked first: answers a raw request and says so with true, or leaves it alone. */
  readonly raw: (request: IncomingMessage, response: ServerResponse) => boolean
  readonly fetch: Fetch
  /** Takes the sockets that `fetch` upgrades. */
  readonly webSockets: WebSocketServer
  readonly log: Log
}

export interface Serving {
  readonly server: Server | TlsServer
  readonly port: number
  stop(): Promise<void>
}

export async function serve(options: ServeOptions): Promise<Serving> {
  const { tls, trustedProxies, raw, log } = options
  const fetch = (request: Request, bare: object) => {
    // The very object must go on: an upgrade leaves its mark in it.
    const env = bare as ServerEnv
    const forwarded = env.incoming.headers['x-forwarded-for']
    env.address = clientAddress(
      env.incoming.socket.remoteAddress,
      typeof forwarded === 'string' ? forwarded : undefined,
      trustedProxies,
    )
    return options.fetch(request, env)
  }
  const create = (_options: unknown, listener: RequestListener) => {
    const handle: RequestListener = (request, response) => {
      if (!raw(request, response)) listener(request, response)
    }
    return tls === undefined ? createServer(handle) : createTlsServer(readTls(tls), handle)
  }
  const server = createAdaptorServer({
    fetch,
    createServer: create as typeof createServer,
    websocket: { server: options.webSockets },
  }) as Server | TlsServer
  server.headersTimeout = HEADERS_TIMEOUT
  // Uploads into a disk vault may take longer than any fixed time; silence ends them at their own door.
  server.requestTimeout = 0
  const unwatch = tls === undefined ? () => undefined : followTls(server as TlsServer, tls, log)

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const { host, port } = options.listen
      reject(
        new HoldfastError('invalid', `cannot listen on ${host}:${port} (${error.code})`, {
          hint: 'is another program using the port? set HOLDFAST_LISTEN',
        }),
      )
    })
    server.listen(options.listen.port, options.listen.host, resolve)
  })
  return {
    server,
    port: (server.address() as AddressInfo).port,
    async stop() {
      unwatch()
      const closed = new Promise((done) => server.close(done))
      server.closeIdleConnections()
      const timer = setTimeout(() => server.closeAllConnections(), STOP_PATIENCE)
      await closed
      clearTimeout(timer)
    },
  }
}

function readTls(tls: { certFile: string; keyFile: string }): { cert: Buffer; key: Buffer } {
  const read = (variable: string, file: string) => {
    try {
      return readFileSync(file)
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'unknown error'
      throw new HoldfastError('invalid', `${variable}: ${file} cannot be read (${code})`)
    }
  }
  const pair = {
    cert: read('HOLDFAST_TLS_CERT_FILE', tls.certFile),
    key: read('HOLDFAST_TLS_KEY_FILE', tls.keyFile),
  }
  try {
    createSecureContext(pair)
  } catch (cause) {
    throw new HoldfastError(
      'invalid',
      'HOLDFAST_TLS_CERT_FILE and HOLDFAST_TLS_KEY_FILE do not make a pair of certificate and key in PEM',
      { cause },
    )
  }
  return pair
}

/** Takes up renewed files. A pair that does not work (yet) is left alone: the old one keeps serving. */
function followTls(
  server: TlsServer,
  tls: { certFile: string; keyFile: string },
  log: Log,
): () => void {
  const reread = () => {
    try {
      server.setSecureContext(readTls(tls))
      log.info('took up renewed TLS files')
    } catch (error) {
      log.error('renewed TLS files cannot be used; the old ones keep serving', { error })
    }
  }
  const files = [tls.certFile, tls.keyFile]
  for (const file of files) watchFile(file, { interval: WATCH_EVERY, persistent: false }, reread)
  return () => {
    for (const file of files) unwatchFile(file, reread)
  }
}
