// What an S3 server's failure means for us. One pure function, so that every case is tested alone.
import { HoldfastError } from '../../../shared/errors.ts'

/** S3 error codes that say "you may not", whatever their status. */
const REFUSALS: ReadonlySet<string> = new Set([
  'AccessDenied',
  'AllAccessDisabled',
  'AccountProblem',
  'InvalidAccessKeyId',
  'InvalidAccessKey',
  'SignatureDoesNotMatch',
  'InvalidSecurity',
])
const SKEWED: ReadonlySet<string> = new Set(['RequestTimeTooSkewed', 'RequestExpired'])

/** Connection failures by their system code, in words. */
const connectionCauses: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the connection was refused',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the connection was closed while sending',
  ENOTFOUND: 'its name could not be resolved',
  EAI_AGAIN: 'its name could not be resolved right now',
  ETIMEDOUT: 'it did not answer in time',
  EHOSTUNREACH: 'there is no route to it',
  ENETUNREACH: 'there is no network to reach it',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is signed by an unknown authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is signed by an unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate is signed by an unknown authority',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
}

interface Failure {
  readonly name: string
  readonly code: string
  readonly status: number | undefined
}

/** The structured facts of an SDK error; its message is never used (it may quote what was sent). */
export function failureOf(error: unknown): Failure {
  const it = error as {
    name?: unknown
    code?: unknown
    Code?: unknown
    cause?: { code?: unknown }
    $metadata?: { httpStatusCode?: number }
  }
  const text = (value: unknown) => (typeof value === 'string' ? value : '')
  return {
    name: text(it?.name),
    code: text(it?.code) || text(it?.Code) || text(it?.cause?.code),
    status: it?.$metadata?.httpStatusCode,
  }
}

/** The same failure as a HoldfastError: `doing` is what was tried, e.g. `list the bucket`. */
export function storeError(error: unknown, doing: string): HoldfastError {
  if (error instanceof HoldfastError) return error
  const { name, code, status } = failureOf(error)
  const seen = [status === undefined ? '' : `HTTP ${status}`, plainCode(name)].filter(Boolean)
  const saw = seen.length === 0 ? '' : ` (${seen.join(' ')})`
  if (SKEWED.has(name)) {
    return new HoldfastError(
      'clock-skew',
      `the store refused to ${doing}: our clocks differ${saw}`,
      {
        hint: 'set the clock of the control plane, for example with chrony or systemd-timesyncd',
      },
    )
  }
  if (name === 'NoSuchBucket') {
    return new HoldfastError('store-unavailable', `could not ${doing}: the bucket does not exist`, {
      hint: 'check bucket and region, or create the bucket first',
    })
  }
  if (REFUSALS.has(name) || status === 401 || status === 403) {
    return new HoldfastError('forbidden', `the store refused to ${doing}${saw}`, {
      hint: 'check the access key, its rights on this bucket, and the region',
    })
  }
  if (name === 'TimeoutError' || name === 'AbortError') {
    return new HoldfastError('store-unavailable', `could not ${doing}: no answer in time`)
  }
  const cause = connectionCauses[code]
  if (cause !== undefined) {
    return new HoldfastError('store-unavailable', `could not ${doing}: ${cause}`)
  }
  return new HoldfastError('store-unavailable', `could not ${doing}${saw || ': no proper answer'}`)
}

/** Error names are the store's words: only plain ones are passed on. */
function plainCode(name: string): string {
  return /^[A-Za-z0-9]{1,64}$/.test(name) ? name : ''
}
