import { createRoute, z } from '@hono/zod-openapi'
import { createRoutes } from './room.ts'
import { json } from './shapes.ts'

const status = z.object({ status: z.enum(['ok', 'unavailable']) })

const live = createRoute({
  method: 'get',
  path: '/live',
  summary: 'Does the process answer?',
  responses: { 200: json(status, 'It does') },
})
const ready = createRoute({
  method: 'get',
  path: '/ready',
  summary: 'Can it do its work: is its database there?',
  responses: { 200: json(status, 'It can'), 503: json(status, 'It cannot') },
})

export function createHealthRoutes(deps: { ready: () => Promise<boolean> }) {
  return createRoutes()
    .openapi(live, (c) => c.json({ status: 'ok' as const }, 200))
    .openapi(ready, async (c) =>
      (await deps.ready())
        ? c.json({ status: 'ok' as const }, 200)
        : c.json({ status: 'unavailable' as const }, 503),
    )
}
