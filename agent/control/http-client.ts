// One HTTPS request to the control plane: JSON there, JSON or a problem document back.
import { type ClientRequest, type IncomingMessage, request as plainRequest } from 'node:http'
import { request as secureRequest } from 'node:https'
import type { Duration } from '../../shared/clock.ts'
import { SECOND } from '../../shared/clock.ts'
import { type ErrorCode, HoldfastError, isErrorCode } from '../../shared/errors.ts'
import { dispatcherFor, type Network } from '../storage/dispatcher.ts'

/** Longest answer, in bytes: a hundred sealed locks, a thousand entries of a listing. */
const MAX_ANSWER_BYTES = 32 * 2 ** 20
/** Patience for one answer when the caller names none. */
const PATIENCE: Duration = 60 * SECOND

export interface PlaneRequest {
  readonly method: 'GET' | 'POST'
  /** Below the control plane's origin, with its query. */
  readonly path: string
  readonly body?: unknown
  readonly bearer?: string
  readonly patience?: Duration
  readonly signal?: AbortSignal
}

/**
 * Sends one request, once. Resolves with the parsed body of a 2xx answer. Rejects with the
 * `HoldfastError` the problem document names, or with `plane-unavailable` when no proper answer came;
 * a message never holds a token, a query or the proxy's credentials.
 */
export type PlaneHttp = (request: PlaneRequest) => Promise<unknown>

/** What a status means when the body does not say it in our words (a proxy's answer, say). */
function codeOfStatus(status: number): ErrorCode {
  if (status === 401) return 'unauthenticated'
  if (status === 403) return 'forbidden'
  if (status === 404) return 'not-found'
  if (status === 413) return 'too-large'
  if (status === 426) return 'version-unsupported'
  if (status === 429) return 'too-many'
  return status >= 400 && status < 500 && status !== 408 ? 'invalid' : 'plane-unavailable'
}

function problemOf(status: number, text: string): HoldfastError {
  let problem: { code?: unknown; detail?: unknown; hint?: unknown } | null = null
  try {
    problem = JSON.parse(text)
  } catch {
    // Not JSON: some proxy answered for the control plane. Only its status is worth anything.
  }
  const ours = isErrorCode(problem?.code)
  const code: ErrorCode = isErrorCode(problem?.code) ? problem.code : codeOfStatus(status)
  const detail = typeof problem?.detail === 'string' ? problem.detail : undefined
  const hint = typeof problem?.hint === 'string' ? { hint: problem.hint } : {}
  return new HoldfastError(
    // A 404 or 403 that is not in our words comes from something in between, and may pass.
    ours || status === 401 || status === 413 || status === 426 ? code : unknownAnswer(code),
    detail ?? `the control plane answered ${status}`,
    hint,
  )
}

function unknownAnswer(code: ErrorCode): ErrorCode {
  return code === 'too-many' ? code : 'plane-unavailable'
}

async function readText(answer: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of answer as AsyncIterable<Buffer>) {
    bytes += part.length
    if (bytes > MAX_ANSWER_BYTES) {
      answer.destroy()
      throw new HoldfastError('too-large', `an answer of over ${MAX_ANSWER_BYTES} bytes`)
    }
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

function send(request: ClientRequest, body: Buffer | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('response', resolve)
    request.once('error', reject)
    request.end(body)
  })
}

/** `origin`: scheme, host and port of the control plane. `version` goes into the User-Agent. */
export function createPlaneHttp(deps: {
  origin: string
  network: Network
  version: string
}): PlaneHttp {
  const { origin, network, version } = deps
  return async ({ method, path, body, bearer, patience = PATIENCE, signal }) => {
    const url = new URL(path, origin)
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
    const timeout = AbortSignal.timeout(patience)
    const request = (url.protocol === 'https:' ? secureRequest : plainRequest)(url, {
      method,
      agent: dispatcherFor(url, network),
      signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      headers: {
        accept: 'application/json, application/problem+json',
        'user-agent': `holdfast-agent/${version}`,
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
        ...(bytes === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': bytes.length }),
      },
    })
    let status: number
    let text: string
    try {
      const answer = await send(request, bytes)
      status = answer.statusCode ?? 0
      text = await readText(answer)
    } catch (cause) {
      if (cause instanceof HoldfastError) throw cause
      if (signal?.aborted) throw signal.reason
      const why = timeout.aborted ? `no answer within ${patience / SECOND} s` : codeOf(cause)
      const message = `${url.host} could not be reached: ${why}`
      throw new HoldfastError('plane-unavailable', message, remedyFor(why))
    }
    if (status < 200 || status > 299) throw problemOf(status, text)
    if (text === '') return {}
    try {
      return JSON.parse(text)
    } catch {
      throw new HoldfastError(
        'plane-unavailable',
        `${url.host} answered something that is not JSON`,
      )
    }
  }
}

/** A network error by its code, or by a message that cannot hold anything of ours. */
/** OpenSSL's words for a certificate that nobody vouches for (`X509_V_ERR_…`), as Node spells them. */
const DISTRUST = /^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_SELF_SIGNED_|CERT_UNTRUSTED)/

function remedyFor(why: string): { hint?: string } {
  if (!DISTRUST.test(why)) return {}
  return {
    hint: 'nobody this host trusts vouches for its certificate: name its authority in HOLDFAST_CA_FILE',
  }
}

function codeOf(cause: unknown): string {
  const code = (cause as { code?: unknown } | null)?.code
  if (typeof code === 'string') return code
  return cause instanceof Error ? cause.message.slice(0, 200) : 'unknown error'
}
