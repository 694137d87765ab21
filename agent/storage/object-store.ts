// Object storage as the repository sees it: names, bytes, and nothing about who pays for them.

/** Why a store call failed, and whether trying the same call again could help. */
export const storageErrors = {
  exists: { retryable: false }, // the name is already taken by other bytes
  absent: { retryable: false }, // there is no object of that name
  truncated: { retryable: true }, // fewer bytes arrived than were promised
  corrupt: { retryable: true }, // the far side saw other bytes than were announced
  'grant-expired': { retryable: true }, // the signed URL lapsed; ask for another
  denied: { retryable: false }, // the store or the control plane refused
  busy: { retryable: true }, // 409, 429, 503: the store asks for patience
  'clock-skew': { retryable: false }, // the store thinks the signer's clock is wrong
  unreachable: { retryable: true }, // no answer, a reset, a time-out
} as const

export type StorageErrorCode = keyof typeof storageErrors

/** A failed store call. `message` never contains a URL's query or a credential. */
export class StorageError extends Error {
  readonly code: StorageErrorCode
  constructor(code: StorageErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'StorageError'
    this.code = code
  }
  get retryable(): boolean {
    return storageErrors[this.code].retryable
  }
}

/** A stored object as a listing names it. */
export interface StoredObject {
  /** Key relative to the repository, e.g. `data/ab/abcd…` or `config`. */
  readonly key: string
  readonly bytes: number
}

/**
 * Bytes kept under a key relative to one repository and never changed afterwards.
 *
 * Implementations do not retry unless they are the `retry` decorator; every rejection is a `StorageError`.
 */
export interface ObjectStore {
  /**
   * Keep `bytes` under `key`. When this resolves the bytes are durable and the far side has checked
   * `sha256` (lower-case hex of `bytes`). The same bytes again succeed; other bytes reject with `exists`.
   * `bytes` is lent for the call: the caller must not change it until the promise settles.
   */
  put(key: string, sha256: string, bytes: Uint8Array): Promise<void>

  /**
   * The whole object, or exactly `length` bytes from `offset`, in memory that is the caller's own from then on.
   * Rejects with `absent`, or with `truncated` if fewer bytes arrive.
   */
  get(key: string, range?: { offset: number; length: number }): Promise<Uint8Array>

  /** The size in bytes, or undefined if there is no such object. Never rejects for absence. */
  head(key: string): Promise<number | undefined>

  /** Every object whose key starts with `prefix` (which ends in `/` or is empty), in no particular order. */
  list(prefix: string): AsyncIterable<StoredObject>

  /** Remove an object; removing what is absent succeeds. Only `locks/` is ever removed from a host. */
  remove(key: string): Promise<void>
}
