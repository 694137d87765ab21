import { createRoute, z } from '@hono/zod-openapi'
import { id } from '../../shared/ids.ts'
import type { Prunes } from '../core/prunes.ts'
import { createRoutes } from './room.ts'
import { body, json, problems } from './shapes.ts'

const queued = z.object({ job: z.string().describe('Id of the job') })

const prune = createRoute({
  method: 'post',
  path: '/jobs/prune',
  summary: 'Give up what no snapshot of a host needs; what goes is deleted days later',
  request: {
    body: body(
      z.strictObject({
        host: z.string().max(255).describe('Id or name'),
        maxRepackBytes: z.int().min(0).optional().describe('Bytes written anew at most'),
        maxSeconds: z
          .int()
          .min(1)
          .max(7 * 86_400)
          .optional()
          .describe('After so long no further pack is written anew'),
        maxUnusedPercent: z
          .number()
          .min(0)
          .max(100)
          .optional()
          .describe('Waste in used packs below which nothing is written anew'),
      }),
    ),
  },
  responses: { ...problems, 202: json(queued, 'The job') },
})
const approve = createRoute({
  method: 'post',
  path: '/jobs/{id}/approve',
  summary: 'Let a prune that waits for a word take away what it proposed, in a new job',
  request: { params: z.object({ id }) },
  responses: { ...problems, 202: json(queued, 'The new job') },
})

export function createPruneRoutes({ prunes }: { prunes: Prunes }) {
  return createRoutes()
    .openapi(prune, async (c) => {
      return c.json({ job: await prunes.request(c.req.valid('json'), c.get('identity')) }, 202)
    })
    .openapi(approve, async (c) => {
      const { id } = c.req.valid('param')
      return c.json({ job: await prunes.approve(id, c.get('identity')) }, 202)
    })
}
