// HTTP requests sent exactly as written, over Node's own client.
import { type ClientRequest, request as overHttp } from 'node:http'
import { request as overHttps } from 'node:https'
import type { ExactAnswer, SendExactly } from '../ports/exact-request.ts'

/** Patience for one whole exchange in ms; probes are small. */
const TIMEOUT = 30_000
/** Most of an answer that is kept, in bytes. */
const MAX_BODY = 1_048_576
const NO_ANSWER: ExactAnswer = { status: 0, headers: {}, body: new Uint8Array(0) }
/** Codes of connections that could not be made at all: then nothing was tried. */
const UNREACHED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])

export const sendExactly: SendExactly = ({ method, url, headers, body, chunked, cutAfter }) =>
  new Promise((resolve, reject) => {
    const target = new URL(url)
    const send = target.protocol === 'https:' ? overHttps : overHttp
    let settled = false
    const settle = (answer: ExactAnswer) => {
      if (settled) return
      settled = true
      request.destroy()
      resolve(answer)
    }
    const request: ClientRequest = send(target, {
      method,
      agent: false,
      setDefaultHeaders: false,
      headers: [
        'Host',
        target.host,
        ...headers.flat(),
        ...(chunked ? ['Transfer-Encoding', 'chunked'] : []),
        'Connection',
        'close',
      ],
    })
    request.setTimeout(TIMEOUT, () => settle(NO_ANSWER))
    request.on('error', (error: NodeJS.ErrnoException) => {
      if (settled) return
      if (!UNREACHED.has(error.code ?? '')) return settle(NO_ANSWER)
      settled = true
      reject(error)
    })
    request.on('response', (response) => {
      const parts: Buffer[] = []
      let bytes = 0
      const done = () =>
        settle({
          status: response.statusCode ?? 0,
          headers: Object.fromEntries(
            Object.entries(response.headers).map(([name, value]) => [name, String(value)]),
          ),
          body: new Uint8Array(Buffer.concat(parts)),
        })
      response.on('data', (part: Buffer) => {
        bytes += part.length
        if (bytes > MAX_BODY) return done()
        parts.push(part)
      })
      response.on('end', done)
      response.on('error', done)
      response.on('close', done)
    })
    if (cutAfter !== undefined) {
      request.write((body ?? new Uint8Array(0)).subarray(0, cutAfter), () => settle(NO_ANSWER))
      return
    }
    request.end(body ?? undefined)
  })
