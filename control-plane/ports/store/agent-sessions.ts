// The greeting of an agent and the token it earns. Challenges and renewals are liveness and leave no event.
import type { Instant } from '../../../shared/clock.ts'
import type { Hello } from '../../../shared/protocol/hello.ts'
import type { Trace } from './trace.ts'

export interface Challenge {
  readonly nonce: string
  readonly host: string
  readonly boot: string
  readonly machine: string
  /** As it was sent and will be signed. */
  readonly time: string
  readonly hello: Hello
  readonly expiresAt: Instant
}

export interface AgentSession {
  readonly id: string
  readonly host: string
  readonly boot: string
  readonly machine: string
  /** SHA-256 of the whole token, hex. */
  readonly hash: string
  readonly createdAt: Instant
  readonly expiresAt: Instant
}

export interface AgentSessionsStore {
  /** Also forgets challenges that are over at `now`. */
  addChallenge(challenge: Challenge, now: Instant): Promise<void>
  /** Takes it out, so that it is never taken twice. */
  takeChallenge(nonce: string): Promise<Challenge | undefined>
  /**
   * A session after a greeting: sessions of other boots end. False when a live session of the host belongs
   * to another machine. `trace` is left out when the same boot greets again: that is no change.
   */
  open(
    session: AgentSession,
    seen: { readonly version: string; readonly protocol: number },
    trace: Trace | undefined,
  ): Promise<boolean>
  /** One more token for a boot that has a session. */
  renew(session: AgentSession): Promise<void>
  find(id: string): Promise<AgentSession | undefined>
  /** A second machine was turned away. False when that was noted after `ifBefore` already. */
  noteDuplicate(host: string, at: Instant, ifBefore: Instant, trace: Trace): Promise<boolean>
}
