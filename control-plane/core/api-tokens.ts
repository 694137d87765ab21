// Tokens of people and programs: made, shown once, proven, revoked.
import type { Role } from '../../shared/access/role.ts'
import { issueToken, tokenId, tokenMatches } from '../../shared/access/token.ts'
import { DAY, type Instant, MINUTE } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type { ApiToken, ApiTokensStore } from '../ports/store/api-tokens.ts'
import { actorOf, type Identity } from './access.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'

/** How exactly the last use is known: finer would be a write per request. */
const TOUCH_EVERY = MINUTE

export type ApiTokens = ReturnType<typeof createApiTokens>

export function createApiTokens(deps: Basics & { store: ApiTokensStore }) {
  const { store, clock } = deps

  /** `by` undefined: the first start of the control plane. */
  async function create(
    wanted: { name: string; role: Role; expiresInDays?: number | undefined },
    by: Identity | undefined,
  ): Promise<{ token: string; record: ApiToken }> {
    const issued = await issueToken('api', deps.random)
    const now = clock.now()
    const record: ApiToken = {
      id: issued.id,
      name: wanted.name,
      role: wanted.role,
      hash: issued.hash,
      createdAt: now,
      expiresAt: wanted.expiresInDays === undefined ? null : now + wanted.expiresInDays * DAY,
      lastUsedAt: null,
      revokedAt: null,
    }
    const event = newEvent(deps, {
      actor: by === undefined ? 'system' : actorOf(by),
      action: 'token.created',
      target: `token:${record.id}`,
      outcome: 'ok',
      details: {
        name: record.name,
        role: record.role,
        expires: record.expiresAt === null ? null : new Date(record.expiresAt).toISOString(),
      },
    })
    if (!(await store.insert(record, { events: [event] }))) {
      throw new HoldfastError('conflict', 'the token could not be stored; try again')
    }
    return { token: issued.token, record }
  }

  return {
    create,

    /** Who holds this bearer token? Throws `unauthenticated` or `token-expired`, never saying which part was wrong. */
    async authenticate(token: string): Promise<Identity> {
      const id = tokenId('api', token)
      const record = id === undefined ? undefined : await store.find(id)
      if (record === undefined || !(await tokenMatches(token, record.hash))) {
        throw new HoldfastError('unauthenticated', 'the token is not valid', {
          hint: 'send "Authorization: Bearer hf_api_…" with a token of this control plane',
        })
      }
      const now = clock.now()
      if (record.revokedAt !== null) {
        throw new HoldfastError('unauthenticated', `the token "${record.name}" was revoked`, {
          hint: 'ask an admin for a new one',
        })
      }
      if (record.expiresAt !== null && record.expiresAt <= now) {
        const since = new Date(record.expiresAt).toISOString()
        throw new HoldfastError('token-expired', `the token "${record.name}" expired at ${since}`, {
          hint: 'ask an admin for a new one',
        })
      }
      if (record.lastUsedAt === null || record.lastUsedAt < now - TOUCH_EVERY) {
        await store.touch(record.id, now, now - TOUCH_EVERY)
      }
      return { token: record.id, name: record.name, role: record.role }
    },

    /** An admin sees all, anyone else their own. */
    async list(by: Identity): Promise<ApiToken[]> {
      const all = await store.list()
      return by.role === 'admin' ? all : all.filter(({ id }) => id === by.token)
    },

    /** An admin revokes any token but the last live admin's; anyone else their own. */
    async revoke(id: string, by: Identity): Promise<void> {
      const found = await store.find(id)
      if (found === undefined || (by.role !== 'admin' && found.id !== by.token)) {
        throw new HoldfastError('not-found', `there is no token "${id}"`)
      }
      if (found.revokedAt !== null) return
      const event = newEvent(deps, {
        actor: actorOf(by),
        action: 'token.revoked',
        target: `token:${found.id}`,
        outcome: 'ok',
        details: { name: found.name, role: found.role },
      })
      if (await store.revoke(found.id, clock.now(), { events: [event] })) return
      if (isLive(await store.find(id), clock.now())) {
        throw new HoldfastError('in-use', 'this is the last admin token; nobody could administer', {
          hint: 'create another admin token first',
        })
      }
    },

    /** Is there a live admin token? If not, this control plane was never started, or is locked out. */
    async hasAdmin(): Promise<boolean> {
      const now = clock.now()
      return (await store.list()).some((token) => token.role === 'admin' && isLive(token, now))
    },
  }
}

function isLive(token: ApiToken | undefined, now: Instant): boolean {
  return (
    token !== undefined &&
    token.revokedAt === null &&
    (token.expiresAt === null || token.expiresAt > now)
  )
}
