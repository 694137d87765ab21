// What a store's HTTP answer means for the next attempt. Pure, and tested as a table.
import type { StorageErrorCode } from './object-store.ts'

/** What an answer asks for. `again`: the same request may succeed later. `regrant`: only under a fresh grant. */
export type Verdict =
  | { readonly kind: 'ok' }
  | { readonly kind: 'taken' } // 412: the name is taken; the control plane says by what
  | { readonly kind: 'again'; readonly code: StorageErrorCode }
  | { readonly kind: 'regrant'; readonly code: StorageErrorCode }
  | { readonly kind: 'never'; readonly code: StorageErrorCode }

/** Error codes that S3 and its relatives send with status 400 and that mean "the body arrived differently". */
const otherBytes = new Set(['XAmzContentSHA256Mismatch', 'BadDigest', 'InvalidDigest'])
/** Codes of status 400 or 403 that only say "too slow" or "try again". */
const slow = new Set(['RequestTimeout', 'IncompleteBody', 'SlowDown'])

/** The `<Code>` of an S3 error document, or undefined. Only letters and digits: it goes into messages. */
export function errorCodeOf(body: string): string | undefined {
  return /<Code>([A-Za-z0-9]{1,64})<\/Code>/.exec(body)?.[1]
}

/** `code` is the store's own error code, where it sent one. */
export function judgeAnswer(method: 'PUT' | 'GET', status: number, code?: string): Verdict {
  if (status === 200 || status === 206 || (method === 'PUT' && status === 204)) {
    return { kind: 'ok' }
  }
  if (code !== undefined && otherBytes.has(code)) return { kind: 'again', code: 'corrupt' }
  if (code !== undefined && slow.has(code)) return { kind: 'again', code: 'busy' }
  if (status === 412) return { kind: 'taken' }
  if (status === 404) return { kind: 'never', code: method === 'GET' ? 'absent' : 'denied' }
  if (status === 416) return { kind: 'never', code: 'truncated' }
  // An expired URL is a plain AccessDenied to Ceph, so every 403 deserves one fresh grant.
  if (status === 401 || status === 403) {
    return { kind: 'regrant', code: code === 'RequestTimeTooSkewed' ? 'clock-skew' : 'denied' }
  }
  // 501 is a decision of the store (If-None-Match on Swift), every other 5xx a mood.
  if (status === 501) return { kind: 'never', code: 'denied' }
  if (status === 408 || status === 409 || status === 425 || status === 429 || status >= 500) {
    return { kind: 'again', code: 'busy' }
  }
  return { kind: 'never', code: 'denied' }
}

/**
 * Milliseconds of patience that `Retry-After` asks for (RFC 9110, 10.2.3): seconds, or a date, which is counted from the
 * answer's own `Date` so that our clock plays no part. Undefined where it says nothing usable.
 */
export function retryAfter(headers: {
  readonly 'retry-after'?: string | undefined
  readonly date?: string | undefined
}): number | undefined {
  const text = headers['retry-after']?.trim()
  if (text === undefined) return undefined
  if (/^\d{1,6}$/.test(text)) return Number(text) * 1_000
  const wait = Date.parse(text) - Date.parse(headers.date ?? '')
  return wait >= 0 ? wait : undefined
}
