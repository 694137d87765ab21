// What one attempt at a transfer came to: done, worth another, worth another grant, or final.
import { MINUTE } from '../../shared/clock.ts'
import { StorageError } from './object-store.ts'
import { errorCodeOf, judgeAnswer, retryAfter } from './store-answer.ts'
import { type TransferAnswer, tellable } from './transfer.ts'

/** A store that asks for more patience than this is asked again all the same. */
const longestAsked = 5 * MINUTE

/** How an attempt ended. `lapsed`: it was not made, for want of a fresh grant. `fresh` asks for one although the old one lives. */
export type Attempted<T> =
  | { readonly kind: 'done'; readonly value: T }
  | { readonly kind: 'lapsed' }
  | Failed
export interface Failed {
  readonly kind: 'again' | 'regrant' | 'never'
  readonly error: StorageError
  readonly fresh?: true
  /** The store has too much to do. */
  readonly slow?: boolean
  /** It asked for so many milliseconds of patience. */
  readonly wait?: number
}

/** A transfer that was not even tried will not be tried next time; any other may go better. */
export function failedTransfer(error: StorageError): Failed {
  return { kind: error.code === 'denied' ? 'never' : 'again', error }
}

export function judge(
  method: 'PUT' | 'GET',
  url: string,
  answer: TransferAnswer,
): 'ok' | 'taken' | Failed {
  // Only an error's body is text: that of a GET is megabytes of a pack.
  const code = answer.status >= 300 ? errorCodeOf(answer.body.toString('latin1')) : undefined
  const verdict = judgeAnswer(method, answer.status, code)
  if (verdict.kind === 'ok' || verdict.kind === 'taken') return verdict.kind
  const said = code === undefined ? `${answer.status}` : `${answer.status} ${code}`
  return {
    kind: verdict.kind,
    error: new StorageError(verdict.code, `${method} ${tellable(url)}: ${said}`),
    ...slowness(answer, code),
  }
}

/** S3 says 503 SlowDown, others 429; some say for how long. */
function slowness(answer: TransferAnswer, code: string | undefined): Pick<Failed, 'slow' | 'wait'> {
  if (answer.status !== 503 && answer.status !== 429 && code !== 'SlowDown') return {}
  const wait = retryAfter(answer.headers)
  return { slow: true, ...(wait === undefined ? {} : { wait: Math.min(wait, longestAsked) }) }
}

export function declaredLength(headers: Readonly<Record<string, string>>): number | undefined {
  for (const [name, value] of Object.entries(headers)) {
    if (name.toLowerCase() === 'content-length') return Number(value)
  }
  return undefined
}

/** What is wrong with a good answer's body, or undefined. A store may ignore a range it does not like. */
export function wrongRange(
  answer: TransferAnswer,
  range: { offset: number; length: number } | undefined,
): string | undefined {
  if (range === undefined) {
    const promised = Number(answer.headers['content-length'] ?? answer.body.length)
    return answer.body.length === promised ? undefined : 'fewer bytes came than were promised'
  }
  if (answer.body.length !== range.length) {
    return `${answer.body.length} bytes came instead of ${range.length}`
  }
  const told = answer.headers['content-range']
  if (answer.status === 206 && told !== undefined) {
    const expected = `bytes ${range.offset}-${range.offset + range.length - 1}/`
    return told.startsWith(expected) ? undefined : 'another range came'
  }
  // 200: the whole object, which is right only if the range is the whole object.
  return range.offset === 0 && answer.status === 200 ? undefined : 'no range came'
}

/** Whether the store says, by the total in Content-Range, that the object ends before the range does. */
export function isShorter(
  answer: TransferAnswer,
  range: { offset: number; length: number } | undefined,
): boolean {
  if (range === undefined || answer.status !== 206) return false
  const total = /^bytes \d+-\d+\/(\d+)$/.exec(answer.headers['content-range'] ?? '')?.[1]
  return total !== undefined && Number(total) < range.offset + range.length
}
