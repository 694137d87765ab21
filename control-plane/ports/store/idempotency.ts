// Answers to commands that carried an Idempotency-Key, so that the same command is not carried out twice.
import type { Instant } from '../../../shared/clock.ts'

export interface StoredAnswer {
  /** SHA-256 of method, path and body: the same key with another request is an error. */
  readonly requestHash: string
  /** Null while the first request is still under way (or its process died). */
  readonly status: number | null
  /** Sealed by the secret box: some answers hold a token. */
  readonly sealed: string | null
  readonly at: Instant
}

export interface IdempotencyStore {
  /** Claims the key. False: somebody did before. */
  claim(token: string, key: string, requestHash: string, at: Instant): Promise<boolean>
  find(token: string, key: string): Promise<StoredAnswer | undefined>
  answer(token: string, key: string, status: number, sealed: string): Promise<void>
  /** Gives the key back: the command was refused before it changed anything. */
  release(token: string, key: string): Promise<void>
  /** Forgets what was claimed before `before`. */
  forget(before: Instant): Promise<void>
}
