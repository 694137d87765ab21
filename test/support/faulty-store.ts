// A store in front of the store that answers as it was told: busy, refusing, silent, or as it is.
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'

/** What happens to a request: an answer of our own, a connection reset, no answer at all, or undefined: the store's. */
export type Fault =
  | { readonly status: number; readonly code: string; readonly headers?: Record<string, string> }
  | 'reset'
  | 'silence'
  | undefined

export interface FaultyStore {
  /** Takes the place of the endpoint in a vault's settings. */
  readonly endpoint: string
  /** Asked for every request; the default lets all pass. */
  judge: (method: string, path: string) => Fault
  /** `method path` of everything that did not pass. */
  readonly struck: readonly string[]
  stop(): Promise<void>
}

/** Signatures bind the Host header, which is passed on as it came: the store checks them as always. */
export async function startFaultyStore(endpoint: string): Promise<FaultyStore> {
  const { hostname, port } = new URL(endpoint)
  const struck: string[] = []
  const pass = (incoming: IncomingMessage, answer: ServerResponse) => {
    const { method, url: path, headers } = incoming
    const onward = request({ hostname, port, method, path, headers, agent: false }, (theirs) => {
      answer.writeHead(theirs.statusCode ?? 502, theirs.headers)
      // Ceph 16 sends the end of a chunked body after HEAD, which is none and must not be read as one.
      if (method === 'HEAD') answer.end()
      else theirs.pipe(answer)
    })
    onward.on('error', () => !answer.writableEnded && answer.destroy())
    incoming.pipe(onward)
  }
  const server = createServer((incoming, answer) => {
    const { method = '', url = '' } = incoming
    const path = url.split('?')[0] ?? ''
    const fault = store.judge(method, path)
    if (fault === undefined) return pass(incoming, answer)
    struck.push(`${method} ${path}`)
    if (fault === 'silence') return
    if (fault === 'reset') {
      incoming.socket.resetAndDestroy()
      return
    }
    incoming.resume().on('end', () => {
      const body = `<?xml version="1.0"?><Error><Code>${fault.code}</Code></Error>`
      answer
        .writeHead(fault.status, { 'content-type': 'application/xml', ...fault.headers })
        .end(body)
    })
  })
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  const own = typeof address === 'object' && address !== null ? address.port : 0
  const store: FaultyStore = {
    endpoint: `http://127.0.0.1:${own}`,
    judge: () => undefined,
    struck,
    async stop() {
      const closed = new Promise((done) => server.close(done))
      server.closeAllConnections()
      await closed
    },
  }
  return store
}
