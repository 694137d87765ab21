import { createRoute, z } from '@hono/zod-openapi'
import type { Fleet } from '../core/fleet.ts'
import { createRoutes } from './room.ts'
import { at, atOrNull, flagQuery, json, problems, time } from './shapes.ts'

const source = z.object({
  host: z.string(),
  hostName: z.string(),
  source: z.string().describe('`volume:<name>` or `directory:<path>`'),
  kind: z.enum(['volume', 'directory']),
  name: z.string(),
  driver: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  project: z.string().nullable(),
  service: z.string().nullable(),
  anonymous: z.boolean(),
  unsupported: z.string().nullable().describe('Why it cannot be backed up, if so'),
  usedBy: z.array(z.string()),
  firstSeen: time,
  lastSeen: time,
  goneAt: time.nullable(),
  snapshotAt: time.nullable().describe('Time of its newest snapshot'),
  policies: z.array(z.string()).describe('Policies that cover it; none: nobody backs it up'),
})

const list = createRoute({
  method: 'get',
  path: '/sources',
  summary: 'What hosts have, and which policies cover it',
  request: {
    query: z.object({
      host: z.string().max(255).optional().describe('Id or name'),
      gone: flagQuery.optional().describe('Also what is not there any more'),
      unprotected: flagQuery.optional().describe('Only what no policy covers'),
    }),
  },
  responses: {
    ...problems,
    200: json(z.object({ items: z.array(source) }), 'By host and name'),
  },
})

export function createSourceRoutes({ fleet }: { fleet: Fleet }) {
  return createRoutes().openapi(list, async (c) => {
    const { host: name, gone, unprotected } = c.req.valid('query')
    const covered = await fleet.sources({ host: name, gone: gone ?? false })
    const items = covered
      .filter(({ policies }) => unprotected !== true || policies.length === 0)
      .map(({ source: one, policies }) => ({
        host: one.host,
        hostName: one.hostName,
        source: one.source,
        kind: one.kind,
        name: one.name,
        driver: one.driver,
        labels: { ...one.labels },
        project: one.project,
        service: one.service,
        anonymous: one.anonymous,
        unsupported: one.unsupported,
        usedBy: [...one.usedBy],
        firstSeen: at(one.firstSeen),
        lastSeen: at(one.lastSeen),
        goneAt: atOrNull(one.goneAt),
        snapshotAt: atOrNull(one.snapshotAt),
        policies: [...policies],
      }))
    return c.json({ items }, 200)
  })
}
