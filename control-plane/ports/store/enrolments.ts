// How a host joins: a token that works once, and the key the host made.
import type { Instant } from '../../../shared/clock.ts'
import type { Trace } from './trace.ts'

export interface EnrolmentToken {
  readonly id: string
  /** SHA-256 of the whole token, hex. */
  readonly hash: string
  readonly vault: string
  readonly expiresAt: Instant
  readonly usedAt: Instant | null
  /** The host it was used for. */
  readonly host: string | null
}

export interface NewHost {
  readonly id: string
  readonly name: string
  readonly machine: string
  /** Ed25519, hex. */
  readonly publicKey: string
  readonly recoveryRecipient: string | null
  readonly recipient: string
  readonly version: string
  readonly enrolledAt: Instant
  /** Its repository, absent so far, in the token's vault. */
  readonly repository: string
  readonly vault: string
}

export interface EnrolmentsStore {
  findToken(id: string): Promise<EnrolmentToken | undefined>
  /**
   * Uses the token up and makes host and repository. False when the token was used meanwhile, is over at
   * `enrolledAt`, or when the name (in any case of letters) or the key is taken.
   */
  enrol(token: string, host: NewHost, trace: Trace): Promise<boolean>
}
