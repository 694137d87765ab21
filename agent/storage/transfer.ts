// One HTTP attempt on a signed URL: exactly the headers given, time-outs for silence, no retry.
import type * as http from 'node:http'
import { httpModule, httpsModule } from './http-modules.ts'
import { StorageError } from './object-store.ts'
import type { TokenBucket } from './token-bucket.ts'

/** Where a connection comes from: keep-alive, proxy and private CA are its business. */
export type AgentFor = (url: URL) => http.Agent

export interface TransferLimits {
  /** Milliseconds until a connection must stand, TLS and proxy included. */
  readonly connect: number
  /** Milliseconds without a byte moving in either direction. */
  readonly stall: number
}

export const usualLimits: TransferLimits = {
  // A TLS handshake through a proxy across the world takes under 2 s; a lost SYN is sent again after 1, 3, 7 s.
  connect: 20_000,
  // Stores answer a 16 MiB PUT within seconds of its last byte; a minute of silence is a dead path.
  stall: 60_000,
}

export interface Transfer {
  readonly method: 'PUT' | 'GET'
  /** A bearer secret: only its origin and path may appear in messages. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** The whole body of a PUT. */
  readonly body?: Uint8Array
  /** Most bytes of body to accept; a good answer with more is `corrupt`. */
  readonly acceptBytes: number
  /** How fast the body may leave, or an answer's body come in. */
  readonly pace?: TokenBucket
}

export interface TransferAnswer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
}

/** Bodies are handed over in slices, so that silence is noticed within a slice and not within a pack. */
const sliceBytes = 256 * 1024
/** Slices a second of a body that is held back: fewer would come in jerks, and be taken for silence. */
const slicesPerSecond = 8
/** No slice is smaller: below this the bytes of the protocol around it weigh more. */
const leastSlice = 1024
/** How often a transfer that waits for its pace says that it lives, in milliseconds. */
const stillEvery = 1_000
/** Most bytes of an error document worth reading. */
const errorBytes = 16 * 1024

/** Host and path of a signed URL: what may be told. */
export function tellable(url: string): string {
  const parsed = new URL(url)
  return `${parsed.origin}${parsed.pathname}`
}

/**
 * Sends one request. Resolves with any answer that has arrived whole; error documents are cut at 16 KiB.
 * Rejects with `unreachable` (no or broken connection, silence), `truncated` (a body that ended early) or
 * `corrupt` (more than was asked for); or with the signal's reason.
 */
export function transfer(
  request: Transfer,
  agentFor: AgentFor,
  limits: TransferLimits,
  signal: AbortSignal,
): Promise<TransferAnswer> {
  const url = new URL(request.url)
  const where = `${request.method} ${tellable(request.url)}`
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason)
      return
    }
    const lib = url.protocol === 'http:' ? httpModule : httpsModule
    const call = lib.request(url, {
      method: request.method,
      headers: request.headers,
      agent: agentFor(url),
      setDefaultHeaders: false,
    })
    // Node adds Host itself unless default headers are off; with them off it must be set here.
    call.setHeader('Host', url.host)

    let timer: NodeJS.Timeout | undefined
    let settled = false
    let answered = false
    function finish(act: () => void): void {
      if (settled) return
      settled = true
      clearTimeout(timer)
      signal.removeEventListener('abort', stop)
      act()
    }
    function fail(error: unknown): void {
      finish(() => {
        reject(error)
        call.destroy()
      })
    }
    function stop(): void {
      fail(signal.reason)
    }
    function watch(milliseconds: number, what: string): void {
      clearTimeout(timer)
      timer = setTimeout(
        () => fail(new StorageError('unreachable', `${where}: ${what} for ${milliseconds} ms`)),
        milliseconds,
      )
    }
    const moved = (): void => {
      if (!settled) watch(limits.stall, 'nothing moved')
    }

    signal.addEventListener('abort', stop, { once: true })
    watch(limits.connect, 'no connection')
    call.on('socket', (socket) => {
      if (!socket.connecting) moved()
      else socket.once(url.protocol === 'http:' ? 'connect' : 'secureConnect', moved)
    })
    call.on('error', (error: NodeJS.ErrnoException) => {
      // A store that refuses early answers and closes while we still write: the answer counts, not the reset.
      if (answered) return
      const why = error.code ?? error.name
      fail(new StorageError('unreachable', `${where}: ${why}`, { cause: error }))
    })
    call.on('response', (response) => {
      answered = true
      moved()
      readBody(response, request, where, moved, signal).then(
        (answer) =>
          finish(() => {
            resolve(answer)
            // Half a request was sent: the connection cannot carry another one.
            if (!call.writableEnded) call.destroy()
          }),
        fail,
      )
    })
    sendBody(call, request, moved, () => settled, signal)
  })
}

/** Hands the body over slice by slice, as fast as pace and socket allow. Errors arrive on `call` itself. */
function sendBody(
  call: http.ClientRequest,
  { body, pace }: Transfer,
  moved: () => void,
  isOver: () => boolean,
  signal: AbortSignal,
): void {
  if (body === undefined) {
    call.end()
    return
  }
  const ended = (): boolean => isOver() || call.destroyed
  let at = 0
  function more(): void {
    while (!ended() && at < body!.length) {
      const slice = body!.subarray(at, at + sliceFor(pace?.rate))
      at += slice.length
      const wait = pace?.take(slice.length, signal)
      if (wait === undefined) {
        if (send(slice)) continue
        return
      }
      // Our own patience is no silence.
      const still = setInterval(moved, stillEvery)
      wait.then(
        () => {
          clearInterval(still)
          if (!ended() && send(slice)) more()
        },
        () => clearInterval(still), // who gave up has settled the transfer
      )
      return
    }
    if (!ended()) call.end()
  }
  /** False: the socket is full, and `more` goes on when it is not. */
  function send(slice: Uint8Array): boolean {
    if (call.write(slice, moved)) return true
    call.once('drain', more)
    return false
  }
  more()
}

function sliceFor(rate: number | undefined): number {
  if (rate === undefined) return sliceBytes
  return Math.min(sliceBytes, Math.max(leastSlice, Math.floor(rate / slicesPerSecond)))
}

function readBody(
  response: http.IncomingMessage,
  request: Transfer,
  where: string,
  moved: () => void,
  signal: AbortSignal,
): Promise<TransferAnswer> {
  const status = response.statusCode ?? 0
  const good = status >= 200 && status < 300
  const limit = good ? request.acceptBytes : errorBytes
  const gathered = gather(response, limit)
  return new Promise((resolve, reject) => {
    let bytes = 0
    const answer = (): TransferAnswer => ({
      status,
      headers: response.headers,
      body: gathered.take(),
    })
    response.on('data', (part: Buffer) => {
      moved()
      bytes += part.length
      if (bytes <= limit) {
        gathered.add(part)
        holdBack(response, request.pace?.take(part.length, signal), moved)
      } else if (good) {
        reject(new StorageError('corrupt', `${where}: more than ${limit} bytes came`))
      } else {
        // The beginning of an error document is enough; its connection is not worth keeping.
        resolve(answer())
        response.destroy()
      }
    })
    response.on('end', () => {
      if (response.complete) resolve(answer())
      else reject(new StorageError('truncated', `${where}: the answer ended early`))
    })
    response.on('error', (error) => {
      reject(
        new StorageError('truncated', `${where}: the answer broke off after ${bytes} bytes`, {
          cause: error,
        }),
      )
    })
  })
}

/** What came is here; the next part may come when this one's time is over. */
function holdBack(
  response: http.IncomingMessage,
  wait: Promise<void> | undefined,
  moved: () => void,
): void {
  if (wait === undefined) return
  response.pause()
  const still = setInterval(moved, stillEvery)
  const goOn = (): void => {
    clearInterval(still)
    response.resume()
  }
  wait.then(goOn, goOn)
}

/** Collects a body; where its length was announced, into one buffer, so that a pack is held once and not twice. */
function gather(response: http.IncomingMessage, limit: number) {
  const announced = Number(response.headers['content-length'] ?? Number.NaN)
  if (!(announced <= limit)) {
    const parts: Buffer[] = []
    return { add: (part: Buffer) => void parts.push(part), take: () => Buffer.concat(parts) }
  }
  const whole = Buffer.allocUnsafeSlow(announced)
  let filled = 0
  return {
    add(part: Buffer) {
      filled += part.copy(whole, filled)
    },
    take: () => whole.subarray(0, filled),
  }
}
