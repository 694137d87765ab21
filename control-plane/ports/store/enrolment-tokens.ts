// One-time tokens with which hosts join the fleet.
import type { Instant } from '../../../shared/clock.ts'
import type { Trace } from './trace.ts'

export interface NewEnrolmentToken {
  readonly id: string
  /** SHA-256 of the whole token, hex. */
  readonly hash: string
  /** Id of the vault the host's repository will lie in. */
  readonly vault: string
  /** The actor who asked for it. */
  readonly createdBy: string
  readonly createdAt: Instant
  readonly expiresAt: Instant
}

export interface EnrolmentTokenIssue {
  /** The vault of that name, or the default one. */
  findVault(name: string | undefined): Promise<{ id: string; name: string } | undefined>
  insert(token: NewEnrolmentToken, trace: Trace): Promise<boolean>
}
