// An HTTP POST to an address that was checked first: the name is never looked up a second time.
import type { LookupAddress } from 'node:dns'
import { request as overHttp } from 'node:http'
import { request as overHttps } from 'node:https'
import { type AddressCheck, RefusedTarget } from './address-check.ts'

/** Patience from the first look-up to the last byte, in ms; and most of an answer that is read, in bytes. */
const TIMEOUT = 10_000
const MAX_ANSWER = 64 * 1_024

export type PostResult =
  | { readonly kind: 'answered'; readonly status: number }
  | { readonly kind: 'refused'; readonly error: string }
  | { readonly kind: 'failed'; readonly error: string }

export type PinnedPost = (
  url: string,
  headers: Readonly<Record<string, string>>,
  body: string,
) => Promise<PostResult>

/** Follows no redirect, retries nothing. Trusts what the process trusts (NODE_EXTRA_CA_CERTS among it). */
export function createPinnedPost(deps: { check: AddressCheck; timeout?: number }): PinnedPost {
  return async (text, headers, body) => {
    const signal = AbortSignal.timeout(deps.timeout ?? TIMEOUT)
    const late = { kind: 'failed', error: 'it did not answer in time' } as const
    try {
      const url = new URL(text)
      const addresses = await Promise.race([deps.check.resolve(url), whenAborted(signal)])
      if (addresses.length === 0) return { kind: 'failed', error: 'its name has no address' }
      let result: PostResult = late
      for (const address of addresses) {
        const tried = await postTo(url, address, headers, body, signal)
        result = tried.result
        // Only where nothing was sent may the next address be tried.
        if (tried.connected || signal.aborted) break
      }
      return result
    } catch (error) {
      if (error instanceof RefusedTarget) return { kind: 'refused', error: error.message }
      if (signal.aborted) return late
      return { kind: 'failed', error: networkError(error) }
    }
  }
}

function postTo(
  url: URL,
  { address, family }: LookupAddress,
  headers: Readonly<Record<string, string>>,
  body: string,
  signal: AbortSignal,
): Promise<{ connected: boolean; result: PostResult }> {
  return new Promise((resolve) => {
    let connected = false
    const send = url.protocol === 'https:' ? overHttps : overHttp
    const bytes = Buffer.from(body)
    const request = send(
      url,
      {
        method: 'POST',
        headers: { ...headers, 'content-length': String(bytes.length) },
        agent: false,
        signal,
        // The name stays in Host and SNI; the connection goes where the check looked.
        lookup: (_name, options, callback) => {
          if (options.all) callback(null, [{ address, family }])
          else callback(null, address, family)
        },
      },
      (response) => {
        const result = { kind: 'answered', status: response.statusCode ?? 0 } as const
        let left = MAX_ANSWER
        const done = () => {
          request.destroy()
          resolve({ connected, result })
        }
        response.on('data', (part: Buffer) => {
          left -= part.length
          if (left < 0) done()
        })
        response.on('end', done)
        // The status is known; how the rest of the answer broke off does not matter.
        response.on('error', done)
      },
    )
    request.on('socket', (socket) => {
      socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', () => {
        connected = true
      })
    })
    request.on('error', (error) => {
      const late = signal.aborted ? 'it did not answer in time' : networkError(error)
      resolve({ connected, result: { kind: 'failed', error: late } })
    })
    request.end(bytes)
  })
}

function whenAborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}

/** Words for system codes; nothing of the error's own text, which may quote the URL. */
const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed',
  ENOTFOUND: 'its name could not be resolved',
  EAI_AGAIN: 'its name could not be resolved right now',
  ETIMEDOUT: 'it did not answer in time',
  EHOSTUNREACH: 'there is no route to it',
  ENETUNREACH: 'there is no network to reach it',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is signed by an unknown authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is signed by an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate is signed by an unknown authority',
}

export function networkError(error: unknown): string {
  const { code } = error as { code?: unknown }
  return (typeof code === 'string' ? words[code] : undefined) ?? 'the connection failed'
}
