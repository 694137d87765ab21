import { createRoute, z } from '@hono/zod-openapi'
import { role } from '../../shared/access/role.ts'
import type { ApiTokens } from '../core/api-tokens.ts'
import { createRoutes } from './room.ts'
import { at, atOrNull, body, json, problems, time } from './shapes.ts'

/** Longest life of a token that has one, in days: ten years. */
const MAX_DAYS = 3_650

const apiToken = z.object({
  id: z.string(),
  name: z.string(),
  role,
  createdAt: time,
  expiresAt: time.nullable(),
  lastUsedAt: time.nullable(),
  revokedAt: time.nullable(),
})

const create = createRoute({
  method: 'post',
  path: '/api-tokens',
  summary: 'Make a token; it is shown once',
  request: {
    body: body(
      z.strictObject({
        name: z.string().trim().min(1).max(64),
        role,
        expiresInDays: z.int().min(1).max(MAX_DAYS).optional(),
      }),
    ),
  },
  responses: { ...problems, 201: json(apiToken.extend({ token: z.string() }), 'The token') },
})
const list = createRoute({
  method: 'get',
  path: '/api-tokens',
  summary: 'Tokens: all for an admin, their own for others',
  responses: { ...problems, 200: json(z.object({ items: z.array(apiToken) }), 'Newest first') },
})
const revoke = createRoute({
  method: 'delete',
  path: '/api-tokens/{id}',
  summary: 'Revoke a token',
  request: { params: z.object({ id: z.string().max(64) }) },
  responses: { ...problems, 204: { description: 'It is revoked' } },
})

export function createApiTokenRoutes({ apiTokens }: { apiTokens: ApiTokens }) {
  type Record = Awaited<ReturnType<ApiTokens['list']>>[number]
  const shown = (record: Record) => ({
    id: record.id,
    name: record.name,
    role: record.role,
    createdAt: at(record.createdAt),
    expiresAt: atOrNull(record.expiresAt),
    lastUsedAt: atOrNull(record.lastUsedAt),
    revokedAt: atOrNull(record.revokedAt),
  })
  return createRoutes()
    .openapi(create, async (c) => {
      const { token, record } = await apiTokens.create(c.req.valid('json'), c.get('identity'))
      return c.json({ ...shown(record), token }, 201)
    })
    .openapi(list, async (c) => {
      const records = await apiTokens.list(c.get('identity'))
      return c.json({ items: records.map(shown) }, 200)
    })
    .openapi(revoke, async (c) => {
      await apiTokens.revoke(c.req.valid('param').id, c.get('identity'))
      return c.body(null, 204)
    })
}
