// One-time tokens with which hosts join.
import { issueToken } from '../../shared/access/token.ts'
import { type Instant, MINUTE } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type { EnrolmentTokenIssue } from '../ports/store/enrolment-tokens.ts'
import { actorOf, type Identity } from './access.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'

/** Long enough to walk to the host, short enough that a leaked one is worthless. */
export const ENROLMENT_LIFE = 10 * MINUTE

export interface IssuedEnrolment {
  readonly id: string
  /** Shown once, never stored. */
  readonly token: string
  readonly vault: string
  readonly expiresAt: Instant
  /** Where the agent dials. */
  readonly url: string
  /** What to run on the host. It asks for the token: an argument would be visible to every user there. */
  readonly command: string
}

export type EnrolmentTokens = ReturnType<typeof createEnrolmentTokens>

export function createEnrolmentTokens(
  deps: Basics & { store: EnrolmentTokenIssue; publicUrl: string },
) {
  return {
    /** A token for one host whose repository will lie in `vault`, or in the default one. */
    async issue(wanted: { vault?: string | undefined }, by: Identity): Promise<IssuedEnrolment> {
      const vault = await deps.store.findVault(wanted.vault)
      if (vault === undefined) {
        throw wanted.vault === undefined
          ? new HoldfastError('invalid', 'there is no default vault', {
              hint: 'name one, or add one with `holdfast vault add`',
            })
          : new HoldfastError('not-found', `there is no vault "${wanted.vault}"`)
      }
      const issued = await issueToken('enroll', deps.random)
      const now = deps.clock.now()
      const expiresAt = now + ENROLMENT_LIFE
      const actor = actorOf(by)
      const event = newEvent(deps, {
        actor,
        action: 'enrolment.offered',
        target: `enrolment:${issued.id}`,
        outcome: 'ok',
        details: { vault: vault.name, expires: new Date(expiresAt).toISOString() },
      })
      const stored = await deps.store.insert(
        {
          id: issued.id,
          hash: issued.hash,
          vault: vault.id,
          createdBy: actor,
          createdAt: now,
          expiresAt,
        },
        { events: [event] },
      )
      if (!stored) throw new HoldfastError('conflict', 'the vault was removed meanwhile')
      return {
        id: issued.id,
        token: issued.token,
        vault: vault.name,
        expiresAt,
        url: deps.publicUrl,
        command: `holdfast-agent enroll --url ${deps.publicUrl} --recovery age1…`,
      }
    },
  }
}
