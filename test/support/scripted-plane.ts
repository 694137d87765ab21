// A control plane that speaks the agent's protocol over real sockets and does as the test says.
import { createPublicKey, randomBytes, verify } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { fromHex, utf8 } from '../../shared/bytes.ts'
import { type ErrorCode, errorCodes } from '../../shared/errors.ts'
import { newId } from '../../shared/ids.ts'
import {
  type AgentEvent,
  commitRequest,
  type EnrolRequest,
  enrolRequest,
  enrolText,
  eventsRequest,
  type FinishRequest,
  finishRequest,
  leaseRequest,
  pollRequest,
} from '../../shared/protocol/calls.ts'
import { fromAgent } from '../../shared/protocol/from-agent.ts'
import type { FromControl, Run } from '../../shared/protocol/from-control.ts'
import { connectBytes, hello, prove } from '../../shared/protocol/hello.ts'
import { systemClock, systemRandom } from './system-clock.ts'

/** Answers a call in the plane's place; undefined lets the plane answer. Throw a `Problem` to refuse. */
export type Answer = (body: never) => unknown

/** Answered as a problem document. */
export class Problem extends Error {
  readonly code: ErrorCode
  constructor(code: ErrorCode, detail: string) {
    super(detail)
    this.code = code
  }
}

export interface PlaneCall {
  readonly path: string
  readonly body: unknown
  readonly bearer: string | undefined
}

const SPKI_PREFIX = '302a300506032b6570032100'

function isSignedBy(publicKey: string, bytes: Uint8Array, signature: string): boolean {
  const key = createPublicKey({
    key: Buffer.from(SPKI_PREFIX + publicKey, 'hex'),
    format: 'der',
    type: 'spki',
  })
  return verify(null, bytes, key, fromHex(signature))
}

export class ScriptedPlane {
  readonly token = `hf_enroll_${randomBytes(12).toString('hex')}`
  readonly host = newId(systemClock, systemRandom)
  readonly repository = newId(systemClock, systemRandom)
  /** Every HTTPS call, in order of arrival. */
  readonly calls: PlaneCall[] = []
  readonly events: AgentEvent[] = []
  readonly finishes: FinishRequest[] = []
  readonly enrolments: EnrolRequest[] = []
  /** Boot ids that were welcomed, one per welcome, and the way they came. */
  readonly welcomes: { boot: string; way: 'socket' | 'poll' }[] = []
  /** Dials that reached the server, refused ones too. */
  dials = 0
  /** Answers by path, the batch's part left out: `lease`, `grants`, `finish`, `events`… */
  readonly answers = new Map<string, Answer>()
  /** Refuse WebSocket upgrades with this status. */
  refuseUpgrades: number | undefined
  /** Answer the proof with this instead of a welcome. */
  reject: { code: string; message: string; retryAfterSeconds?: number } | undefined
  sessionSeconds = 900
  leaseSeconds = 600
  /** Sessions that are honoured. */
  readonly sessions = new Set<string>()
  #frames: FromControl[] = []
  #nonces = new Map<string, string>()
  #sockets = new Set<WebSocket>()
  #usedTokens = new Set<string>()
  #publicKey = ''
  readonly #server: Server
  readonly #upgrades = new WebSocketServer({ noServer: true })
  origin = ''

  private constructor(tls: { cert: string; key: string } | undefined) {
    const handler = (request: IncomingMessage, response: ServerResponse) =>
      void this.#answer(request, response)
    this.#server = tls ? createTlsServer(tls, handler) : createServer(handler)
    this.#server.on('upgrade', (request, socket, head) => {
      this.dials++
      if (this.refuseUpgrades !== undefined) {
        socket.end(`HTTP/1.1 ${this.refuseUpgrades} No\r\ncontent-length: 0\r\n\r\n`)
        return
      }
      this.#upgrades.handleUpgrade(request, socket, head, (ws) => this.#talk(ws))
    })
  }

  /** `name`: what the agent is told to dial, where that is not loopback itself (a proxy knows the way). */
  static async start(
    options: { tls?: { cert: string; key: string }; name?: string; port?: number } = {},
  ): Promise<ScriptedPlane> {
    const plane = new ScriptedPlane(options.tls)
    await new Promise<void>((resolve) => {
      plane.#server.listen(options.port ?? 0, '127.0.0.1', resolve)
    })
    const scheme = options.tls ? 'https' : 'http'
    plane.origin = `${scheme}://${options.name ?? '127.0.0.1'}:${plane.port}`
    return plane
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Send a frame now, or when the agent next asks. Runs are repeated at each welcome until leased. */
  send(frame: FromControl): void {
    if (frame.type === 'run') this.#runs.push(frame)
    if (this.#sockets.size === 0) this.#frames.push(frame)
    for (const socket of this.#sockets) socket.send(JSON.stringify(frame))
  }
  #runs: Run[] = []

  /** Cut all lines, as a restart of the control plane would. */
  cut(): void {
    for (const socket of this.#sockets) socket.terminate()
  }

  /** Send raw text on all sockets. */
  sendText(text: string): void {
    for (const socket of this.#sockets) socket.send(text)
  }

  async stop(): Promise<void> {
    this.cut()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #welcome(boot: string, way: 'socket' | 'poll') {
    const session = randomBytes(32).toString('hex')
    this.sessions.add(session)
    this.welcomes.push({ boot, way })
    const { sessionSeconds } = this
    return { type: 'welcome', protocol: 1, session, sessionSeconds, time: time() } as const
  }

  #challenge(host: string) {
    const nonce = randomBytes(32).toString('hex')
    const at = time()
    this.#nonces.set(nonce, at)
    if (host !== this.host) throw new Problem('forbidden', 'no such host')
    return { type: 'challenge', nonce, time: at } as const
  }

  #proven(frame: unknown): { boot: string } {
    const { host, boot, nonce, signature } = prove.parse(frame)
    const at = this.#nonces.get(nonce)
    this.#nonces.delete(nonce)
    if (at === undefined) throw new Problem('forbidden', 'unknown nonce')
    const bytes = connectBytes({ origin: this.origin, host, nonce, time: at })
    if (!isSignedBy(this.#publicKey, bytes, signature))
      throw new Problem('forbidden', 'bad signature')
    return { boot }
  }

  #talk(socket: WebSocket): void {
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('message', (data) => {
      const frame = fromAgent.parse(JSON.parse(String(data)))
      if (frame.type === 'hello') {
        socket.send(JSON.stringify(this.#challenge(frame.host)))
      } else if (frame.type === 'prove') {
        const { boot } = this.#proven(frame)
        if (this.reject) {
          socket.send(JSON.stringify({ type: 'reject', ...this.reject }))
          return
        }
        socket.send(JSON.stringify(this.#welcome(boot, 'socket')))
        this.#sockets.add(socket)
        for (const waiting of this.#take()) socket.send(JSON.stringify(waiting))
      } else {
        const session = randomBytes(32).toString('hex')
        this.sessions.add(session)
        const { sessionSeconds } = this
        socket.send(JSON.stringify({ type: 'session', session, sessionSeconds }))
      }
    })
  }

  #take(): FromControl[] {
    const waiting = [...new Set([...this.#frames, ...this.#runs])]
    this.#frames = []
    return waiting
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part as Buffer)
    const text = Buffer.concat(parts).toString('utf8')
    const bearer = request.headers.authorization?.replace(/^Bearer /, '')
    const path = request.url ?? ''
    const body = text === '' ? undefined : JSON.parse(text)
    this.calls.push({ path, body, bearer })
    try {
      const answer = await this.#handle(path.replace('/agent/v1/', ''), body, bearer)
      response.writeHead(200, { 'content-type': 'application/json' })
      response.end(JSON.stringify(answer ?? {}))
    } catch (error) {
      const code = error instanceof Problem ? error.code : 'internal'
      const { status } = errorCodes[code]
      response.writeHead(status, { 'content-type': 'application/problem+json' })
      const detail = (error as Error).message
      response.end(JSON.stringify({ type: 'about:blank', title: code, status, detail, code }))
    }
  }

  async #handle(path: string, body: unknown, bearer: string | undefined): Promise<unknown> {
    const name = path
      .split('?')[0]!
      .replace(/^batches\/[^/]+\//, '')
      .replace(/^commits\/.*/, 'commits')
    if (name !== 'enroll' && name !== 'hello' && name !== 'prove') {
      if (bearer === undefined || !this.sessions.has(bearer)) {
        throw new Problem('unauthenticated', 'no such session')
      }
    }
    const scripted = this.answers.get(name)?.(body as never)
    if (scripted !== undefined) return scripted
    switch (name) {
      case 'enroll':
        return this.#enrol(enrolRequest.parse(body))
      case 'hello':
        return this.#challenge(hello.parse(body).host)
      case 'prove': {
        const { boot } = this.#proven(body)
        return this.reject ? { type: 'reject', ...this.reject } : this.#welcome(boot, 'poll')
      }
      case 'poll':
        return this.#poll(pollRequest.parse(body).waitSeconds)
      case 'events': {
        const { events } = eventsRequest.parse(body)
        this.events.push(...events.map(({ event }) => event))
        return { acknowledged: Math.max(...events.map(({ seq }) => seq)) }
      }
      case 'lease': {
        const { jobs } = leaseRequest.parse(body)
        const leased = new Set(jobs.map(({ job }) => job))
        this.#runs = this.#runs.filter((run) => !run.jobs.some(({ id }) => leased.has(id)))
        return { leaseSeconds: this.leaseSeconds, cancel: [], gone: [] }
      }
      case 'grants':
        return { grants: [] }
      case 'lock':
        return { others: [] }
      case 'commit': {
        const { receipt, signature } = commitRequest.parse(body)
        const { receiptBytes } = await import('../../shared/backup/receipt.ts')
        const good = isSignedBy(this.#publicKey, receiptBytes(receipt), signature)
        return good ? { state: 'accepted' } : { state: 'refused', code: 'forbidden' }
      }
      case 'finish':
        this.finishes.push(finishRequest.parse(body))
        return {}
      case 'unlock':
      case 'page':
      case 'initialise':
        return {}
      default:
        throw new Problem('not-found', `nothing at ${path}`)
    }
  }

  #enrol(request: EnrolRequest) {
    if (request.token !== this.token)
      throw new Problem('unauthenticated', 'the enrolment token is not known')
    if (this.#usedTokens.has(request.token)) {
      throw new Problem('token-used', 'the enrolment token was used before')
    }
    const text = utf8(enrolText(request))
    if (!isSignedBy(request.publicKey, text, request.signature)) {
      throw new Problem('forbidden', 'the key is not held')
    }
    this.#usedTokens.add(request.token)
    this.#publicKey = request.publicKey
    this.enrolments.push(request)
    return { host: this.host, name: request.name, repository: this.repository }
  }

  async #poll(waitSeconds: number) {
    const ends = performance.now() + waitSeconds * 1_000
    while (this.#frames.length + this.#runs.length === 0 && performance.now() < ends) {
      await systemClock.sleep(20)
    }
    return { frames: this.#take() }
  }
}

function time(): string {
  return new Date(systemClock.now()).toISOString()
}
