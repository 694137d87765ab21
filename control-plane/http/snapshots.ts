import { createRoute, z } from '@hono/zod-openapi'
import { jobCounts } from '../../shared/backup/job.ts'
import { outcome } from '../../shared/backup/outcome.ts'
import type { Catalogue } from '../core/catalogue.ts'
import { createRoutes } from './room.ts'
import {
  at,
  cursorQuery,
  DEFAULT_PAGE,
  flagQuery,
  json,
  limitQuery,
  nextCursor,
  problems,
  time,
  timeQuery,
} from './shapes.ts'

const snapshot = z.object({
  id: z.string(),
  host: z.string(),
  hostName: z.string(),
  repository: z.string(),
  source: z.string(),
  time,
  receivedAt: time,
  parent: z.string().nullable(),
  tree: z.string(),
  outcome: outcome.nullable().describe('null where another program made it'),
  counts: jobCounts.nullable(),
  policy: z.string().nullable(),
  job: z.string().nullable(),
  state: z
    .enum(['present', 'forgetting', 'forgotten', 'vanished'])
    .describe('vanished: removed outside Holdfast'),
  foreign: z.boolean().describe('Made by another program; kept until a policy claims it'),
  held: z
    .object({ at: time, by: z.string(), why: z.string().nullable() })
    .nullable()
    .describe('Under a legal hold: not forgotten until that ends'),
  volume: z
    .object({ driver: z.string(), labels: z.record(z.string(), z.string()) })
    .nullable()
    .describe('What the volume was besides its bytes'),
})

const list = createRoute({
  method: 'get',
  path: '/snapshots',
  summary: 'Snapshots',
  request: {
    query: z.object({
      host: z.string().max(255).optional().describe('Id or name'),
      source: z.string().max(4_200).optional(),
      gone: flagQuery.optional().describe('Also those that were forgotten or vanished'),
      since: timeQuery.optional(),
      until: timeQuery.optional(),
      cursor: cursorQuery.optional(),
      limit: limitQuery.optional(),
    }),
  },
  responses: {
    ...problems,
    200: json(z.object({ items: z.array(snapshot), next: nextCursor }), 'Newest first'),
  },
})
const show = createRoute({
  method: 'get',
  path: '/snapshots/{id}',
  summary: 'One snapshot, by its id or the first 8 or more digits of it',
  request: {
    params: z.object({
      id: z
        .string()
        .regex(/^[0-9a-f]{8,64}$/, 'must be a snapshot id, or at least its first 8 digits'),
    }),
  },
  responses: { ...problems, 200: json(snapshot, 'The snapshot') },
})

export function createSnapshotRoutes({ catalogue }: { catalogue: Catalogue }) {
  const shown = (one: Awaited<ReturnType<Catalogue['snapshot']>>) => ({
    id: one.id,
    host: one.host,
    hostName: one.hostName,
    repository: one.repository,
    source: one.source,
    time: at(one.time),
    receivedAt: at(one.receivedAt),
    parent: one.parent,
    tree: one.tree,
    outcome: one.outcome,
    counts: one.counts,
    policy: one.policyName,
    job: one.job,
    state: one.state,
    foreign: one.isForeign,
    held:
      one.heldAt === null ? null : { at: at(one.heldAt), by: one.heldBy ?? '', why: one.heldWhy },
    volume: one.volume === null ? null : { driver: one.volume.driver, labels: one.volume.labels },
  })
  return createRoutes()
    .openapi(list, async (c) => {
      const { limit, ...wanted } = c.req.valid('query')
      const found = await catalogue.snapshots({ ...wanted, limit: limit ?? DEFAULT_PAGE })
      return c.json({ items: found.snapshots.map(shown), next: found.next }, 200)
    })
    .openapi(show, async (c) =>
      c.json(shown(await catalogue.snapshot(c.req.valid('param').id)), 200),
    )
}
