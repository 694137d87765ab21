// `Idempotency-Key` on commands: the stored answer instead of a second effect.
import { createMiddleware } from 'hono/factory'
import { HTTPException } from 'hono/http-exception'
import { HoldfastError } from '../../shared/errors.ts'
import type { Idempotency } from '../core/idempotency.ts'
import type { DoorEnv } from './room.ts'

export function createIdempotent(idempotency: Pick<Idempotency, 'once'>) {
  return createMiddleware<DoorEnv>(async (c, next) => {
    const key = c.req.header('idempotency-key')
    if (key === undefined || c.req.method !== 'POST') return next()
    const request = `${c.req.method} ${c.req.path}\n${await c.req.text()}`
    const { answer, replayed } = await idempotency.once(
      c.get('identity').token,
      key,
      request,
      async () => {
        await next()
        if (c.error !== undefined) throw known(c.error)
        return {
          status: c.res.status,
          contentType: c.res.headers.get('content-type') ?? 'application/json',
          body: await c.res.clone().text(),
        }
      },
    )
    if (!replayed) return
    return new Response(answer.body, {
      status: answer.status,
      headers: { 'content-type': answer.contentType, 'idempotency-replayed': 'true' },
    })
  })
}

/** What the framework itself refuses (body that is no JSON, too large) in our words; everything else unchanged. */
export function known(error: Error): Error {
  if (!(error instanceof HTTPException)) return error
  if (error.status === 413) return new HoldfastError('too-large', 'the body is over 1 MiB')
  if (error.status === 415) {
    return new HoldfastError('invalid', 'the body must be JSON', {
      hint: 'send "Content-Type: application/json"',
    })
  }
  return error.status === 400 ? new HoldfastError('invalid', 'the body is not JSON') : error
}
