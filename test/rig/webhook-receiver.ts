// An HTTP server that takes whatever it is sent, remembers it, and answers as it was told.

import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { createArrivals } from './arrivals.ts'
import type { Certificate } from './certificates.ts'

export interface ReceivedRequest {
  readonly method: string
  /** Path and query. */
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
  /** The body as JSON; throws if it is none. */
  json(): unknown
}

export interface ScriptedAnswer {
  /** Default: 200. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Wait first, in milliseconds. */
  readonly delay?: number
  /** Reset the connection instead of answering, after the request was read. */
  readonly cut?: boolean
  /** Never answer. */
  readonly hang?: boolean
}

export interface WebhookReceiver {
  /** `http://127.0.0.1:<port>` or, with a certificate, `https://localhost:<port>`. */
  readonly url: string
  readonly port: number
  readonly requests: readonly ReceivedRequest[]
  /** These answers come next, one for each request; afterwards `otherwise` again. */
  script(...answers: ScriptedAnswer[]): void
  /** What is answered when the script is over. Default: 200. */
  otherwise(answer: ScriptedAnswer): void
  /** Resolves with the first `count` requests as soon as they are there; rejects after `seconds` (default 10). */
  received(count: number, seconds?: number): Promise<readonly ReceivedRequest[]>
  stop(): Promise<void>
}

export async function startWebhookReceiver(
  options: { certificate?: Certificate } = {},
): Promise<WebhookReceiver> {
  const { certificate } = options
  const arrivals = createArrivals<ReceivedRequest>('requests')
  const script: ScriptedAnswer[] = []
  let usual: ScriptedAnswer = {}

  const receive = async (request: IncomingMessage, response: ServerResponse) => {
    const pieces: Buffer[] = []
    for await (const piece of request as AsyncIterable<Buffer>) pieces.push(piece)
    const body = Buffer.concat(pieces)
    const { method = '', url = '', headers } = request
    const answer = script.shift() ?? usual
    arrivals.add({ method, url, headers, body, json: () => JSON.parse(body.toString()) })
    if (answer.hang) return
    if (answer.delay) await sleep(answer.delay)
    if (answer.cut) request.socket.resetAndDestroy()
    else response.writeHead(answer.status ?? 200, { ...answer.headers }).end(answer.body)
  }
  // A client that leaves in the middle of a request has sent nothing.
  const handle = (request: IncomingMessage, response: ServerResponse) => {
    receive(request, response).catch(() => response.destroy())
  }
  const server = certificate ? createTlsServer({ ...certificate }, handle) : createServer(handle)
  await new Promise<void>((resolve, reject) => {
    server.on('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: certificate ? `https://localhost:${port}` : `http://127.0.0.1:${port}`,
    port,
    requests: arrivals.items,
    script(...answers) {
      script.push(...answers)
    },
    otherwise(answer) {
      usual = answer
    },
    received: arrivals.received,
    async stop() {
      const closed = new Promise((done) => server.close(done))
      server.closeAllConnections()
      await closed
    },
  }
}
