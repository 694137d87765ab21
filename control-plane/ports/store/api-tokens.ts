// Tokens of people and programs. Only hashes are kept.
import type { Role } from '../../../shared/access/role.ts'
import type { Instant } from '../../../shared/clock.ts'
import type { Trace } from './trace.ts'

export interface ApiToken {
  readonly id: string
  readonly name: string
  readonly role: Role
  /** SHA-256 of the whole token, hex. */
  readonly hash: string
  readonly createdAt: Instant
  /** Null: never. */
  readonly expiresAt: Instant | null
  readonly lastUsedAt: Instant | null
  readonly revokedAt: Instant | null
}

export interface ApiTokensStore {
  find(id: string): Promise<ApiToken | undefined>
  /** All of them, revoked ones too, newest first. */
  list(): Promise<ApiToken[]>
  insert(token: ApiToken, trace: Trace): Promise<boolean>
  /** False when it is revoked already, or when no other live admin token would be left at `at`. */
  revoke(id: string, at: Instant, trace: Trace): Promise<boolean>
  /** Notes the use unless one was noted after `ifBefore`. Leaves no event: it is not a change of anything. */
  touch(id: string, at: Instant, ifBefore: Instant): Promise<void>
}
