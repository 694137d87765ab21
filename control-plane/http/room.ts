// What every resource of this door begins with.
import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { Identity } from '../core/access.ts'
import { fieldProblems, InvalidFields } from '../core/problem.ts'

export interface DoorEnv {
  Bindings: {
    /** Address of the client, as the runtime knows it behind its trusted proxies. */
    address: string
  }
  Variables: {
    /** Set by the guard on every route that is not open. */
    identity: Identity
  }
}

export type DoorContext = Context<DoorEnv>

/** An empty set of routes; a request that breaks its schema throws `invalid` with every field named. */
export function createRoutes() {
  return new OpenAPIHono<DoorEnv>({
    defaultHook: (result) => {
      if (result.success) return
      throw new InvalidFields(fieldProblems(result.error))
    },
  })
}
