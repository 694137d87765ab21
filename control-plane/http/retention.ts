import { createRoute, z } from '@hono/zod-openapi'
import { fromHex, toHex, utf8 } from '../../shared/bytes.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type { Catalogue } from '../core/catalogue.ts'
import type { Retention } from '../core/retention.ts'
import { createRoutes } from './room.ts'
import { at, body, json, limitQuery, nextCursor, problems, time } from './shapes.ts'

/** Sources of one page where the caller names no number: each may have thousands of snapshots. */
const SOURCES = 20

const params = z.object({
  id: z.string().regex(/^[0-9a-f]{8,64}$/, 'must be a snapshot id, or at least its first 8 digits'),
})
const touched = z.object({ id: z.string() })

const judgedSource = z.object({
  host: z.string(),
  hostName: z.string(),
  source: z.string(),
  policies: z.array(z.string()).describe('Policies that cover it; what any of them keeps is kept'),
  label: z
    .string()
    .nullable()
    .describe('Span of a retention label, which takes the place of rules'),
  minimum: z.int(),
  snapshots: z.array(
    z.object({
      id: z.string(),
      time,
      reasons: z.array(z.string()).describe('Why it is kept; none: it would be forgotten'),
    }),
  ),
})

const preview = createRoute({
  method: 'get',
  path: '/retention/preview',
  summary: 'What would be kept and forgotten now, and why',
  request: {
    query: z.object({
      host: z.string().max(255).optional().describe('Id or name'),
      policy: z.string().max(64).optional(),
      cursor: z
        .string()
        .max(9_000)
        .regex(/^(?:[0-9a-f]{2})+$/, 'must be `next` of the page before')
        .optional(),
      limit: limitQuery.optional(),
    }),
  },
  responses: {
    ...problems,
    200: json(z.object({ items: z.array(judgedSource), next: nextCursor }), 'By host and source'),
  },
})
const hold = createRoute({
  method: 'post',
  path: '/snapshots/{id}/hold',
  summary: 'Hold a snapshot: it is not forgotten until that ends',
  request: { params, body: body(z.strictObject({ why: z.string().max(500).optional() })) },
  responses: { ...problems, 200: json(touched, 'The snapshot') },
})
const release = createRoute({
  method: 'delete',
  path: '/snapshots/{id}/hold',
  summary: 'End the hold of a snapshot',
  request: { params },
  responses: { ...problems, 200: json(touched, 'The snapshot') },
})
const claim = createRoute({
  method: 'post',
  path: '/snapshots/{id}/claim',
  summary: 'Put a snapshot that another program made under the rules of a policy',
  request: { params, body: body(z.strictObject({ policy: z.string().min(1).max(64) })) },
  responses: { ...problems, 200: json(touched, 'The snapshot') },
})

export function createRetentionRoutes({
  retention,
  catalogue,
}: {
  retention: Retention
  catalogue: Catalogue
}) {
  return createRoutes()
    .openapi(preview, async (c) => {
      const { host, policy, cursor, limit } = c.req.valid('query')
      const page = {
        after: cursor === undefined ? undefined : decode(cursor),
        limit: limit ?? SOURCES,
      }
      const { sources, next } = await retention.preview({ host, policy }, page)
      const items = sources.map(({ judged, policies, ...one }) => ({
        ...one,
        policies: [...policies],
        snapshots: judged.map(({ snapshot, reasons }) => ({
          id: snapshot.id,
          time: at(snapshot.time),
          reasons: [...reasons],
        })),
      }))
      return c.json({ items, next: next === undefined ? undefined : encode(next) }, 200)
    })
    .openapi(hold, async (c) => {
      const { id } = await catalogue.readable(c.req.valid('param').id)
      await retention.hold(id, c.req.valid('json').why ?? null, c.get('identity'))
      return c.json({ id }, 200)
    })
    .openapi(release, async (c) => {
      const { id } = await catalogue.snapshot(c.req.valid('param').id)
      await retention.release(id, c.get('identity'))
      return c.json({ id }, 200)
    })
    .openapi(claim, async (c) => {
      const { id } = await catalogue.readable(c.req.valid('param').id)
      const claimed = await retention.claim(id, c.req.valid('json').policy, c.get('identity'))
      if (!claimed) {
        throw new HoldfastError('conflict', 'the snapshot is not foreign, or claimed already')
      }
      return c.json({ id }, 200)
    })
}

/** A source may hold any character: the cursor is its place in hex. */
function encode(place: string): string {
  return toHex(utf8(place))
}
function decode(cursor: string): string {
  return new TextDecoder().decode(fromHex(cursor))
}
