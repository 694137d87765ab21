// The guard of the door: finds the route's row in the table, then asks for the token it needs.
import { createMiddleware } from 'hono/factory'
import { matchedRoutes } from 'hono/route'
import type { Role } from '../../shared/access/role.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type { Identity } from '../core/access.ts'
import { access } from './access.ts'
import type { FailedAttempts } from './failed-attempts.ts'
import type { DoorContext, DoorEnv } from './room.ts'

export interface GuardDeps {
  /** Throws `unauthenticated` or `token-expired`. */
  readonly authenticate: (token: string) => Promise<Identity>
  readonly failures: FailedAttempts
  /** Somebody known knocked where their role may not enter. */
  readonly refused: (identity: Identity, route: string) => Promise<void>
}

/** `METHOD /path/:parameter` of the route that will answer, or undefined if there is none. */
export function routeOf(c: DoorContext): string | undefined {
  const route = matchedRoutes(c).findLast(({ method }) => method !== 'ALL')
  return route === undefined ? undefined : `${route.method} ${route.path}`
}

export function createGuard(deps: GuardDeps) {
  return createMiddleware<DoorEnv>(async (c, next) => {
    const route = routeOf(c)
    if (route === undefined) {
      throw new HoldfastError('not-found', `there is no ${c.req.method} ${c.req.path}`)
    }
    const row = Object.hasOwn(access, route) ? access[route] : undefined
    // A route that nobody wrote down is closed to all.
    if (row === undefined) throw new HoldfastError('forbidden', 'nobody may enter here')
    if (row !== 'open') c.set('identity', await admit(c, route, row))
    await next()
  })

  async function admit(c: DoorContext, route: string, allowed: readonly Role[]): Promise<Identity> {
    const identity = await deps.authenticate(bearer(c)).catch((error: unknown) => {
      if (error instanceof HoldfastError) deps.failures.note(c.env.address)
      throw error
    })
    if (allowed.includes(identity.role)) return identity
    await deps.refused(identity, route)
    throw new HoldfastError(
      'forbidden',
      `the role ${identity.role} may not do this; it needs ${allowed.join(' or ')}`,
    )
  }
}

function bearer(c: DoorContext): string {
  const header = c.req.header('authorization')
  const token = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1]
  if (token !== undefined) return token
  throw new HoldfastError(
    'unauthenticated',
    header === undefined ? 'a token is needed' : 'the Authorization header is not "Bearer <token>"',
    { hint: 'send "Authorization: Bearer hf_api_…"' },
  )
}
