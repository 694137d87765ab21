// Everything that can go wrong between our parts, by name. Add a line here before you throw.

/**
 * `retryable`: could the same request succeed later, unchanged?
 * `status`: the HTTP status a door answers with. `exit`: the CLI's exit code (restic's, see README).
 */
export const errorCodes = {
  invalid: { retryable: false, status: 422, exit: 1 }, // a field breaks its rule; the message names it
  unauthenticated: { retryable: false, status: 401, exit: 1 }, // no token, or not a valid one
  forbidden: { retryable: false, status: 403, exit: 1 }, // the role or the repository does not allow it
  'not-found': { retryable: false, status: 404, exit: 1 }, // no such thing, or not yours to see
  conflict: { retryable: true, status: 409, exit: 1 }, // it changed meanwhile; read it again
  'already-exists': { retryable: false, status: 409, exit: 1 }, // the name is taken
  'in-use': { retryable: false, status: 409, exit: 1 }, // something still depends on it
  'too-large': { retryable: false, status: 413, exit: 1 }, // over a size limit
  'too-many': { retryable: true, status: 429, exit: 1 }, // a quota or rate is used up for now
  'token-expired': { retryable: false, status: 401, exit: 1 }, // ask for a new one
  'token-used': { retryable: false, status: 401, exit: 1 }, // enrolment tokens work once
  'version-unsupported': { retryable: false, status: 426, exit: 1 }, // one side must be upgraded first
  'duplicate-identity': { retryable: false, status: 403, exit: 1 }, // two machines share one key
  'clock-skew': { retryable: true, status: 503, exit: 1 }, // our clock and the store's are too far apart
  'fence-stale': { retryable: false, status: 409, exit: 1 }, // a newer attempt owns the job
  'lease-lapsed': { retryable: true, status: 409, exit: 1 }, // the lease ended; ask for it again
  'epoch-stale': { retryable: true, status: 409, exit: 1 }, // a prune ran since the index was listed
  'claims-missing': { retryable: true, status: 409, exit: 1 }, // a claimed object is not in the store
  exists: { retryable: false, status: 409, exit: 1 }, // an immutable object is there with other bytes
  'repository-absent': { retryable: false, status: 409, exit: 10 }, // not initialised yet
  locked: { retryable: true, status: 409, exit: 11 }, // another program holds the repository
  'lock-lost': { retryable: false, status: 409, exit: 11 }, // the lock to be refreshed is gone; begin again from a new one
  'wrong-password': { retryable: false, status: 422, exit: 12 }, // no key file opens with it
  'store-unavailable': { retryable: true, status: 503, exit: 1 }, // the vault did not answer properly
  'plane-unavailable': { retryable: true, status: 503, exit: 1 }, // the control plane did not answer properly
  'host-offline': { retryable: true, status: 503, exit: 1 }, // the agent is not connected
  incomplete: { retryable: false, status: 500, exit: 3 }, // done, but something was left out
  cancelled: { retryable: false, status: 409, exit: 130 }, // a person stopped it
  internal: { retryable: true, status: 500, exit: 1 }, // a fault of ours; details only in the log
} as const

export type ErrorCode = keyof typeof errorCodes

/**
 * An error a person or program is meant to see. `message` names the field, the value (unless it is
 * secret) and the rule; `hint` says what to do about it.
 */
export class HoldfastError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  constructor(code: ErrorCode, message: string, options?: { hint?: string; cause?: unknown }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'HoldfastError'
    this.code = code
    this.hint = options?.hint
  }
  get retryable(): boolean {
    return errorCodes[this.code].retryable
  }
}

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(errorCodes, code)
}
