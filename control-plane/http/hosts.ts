import { createRoute, z } from '@hono/zod-openapi'
import type { Fleet } from '../core/fleet.ts'
import { createRoutes } from './room.ts'
import { at, atOrNull, json, problems, time } from './shapes.ts'

const host = z.object({
  id: z.string(),
  name: z.string(),
  state: z.enum(['never-seen', 'alive', 'silent']),
  version: z.string(),
  enrolledAt: time,
  lastSeen: time.nullable(),
  /** Without one the host does not back up. */
  recoveryRecipient: z.string().nullable(),
  recipient: z.string(),
  publicKey: z.string(),
  engine: z.string().nullable().describe('Version of its Docker engine'),
  inventoryAt: time.nullable(),
  sources: z.int(),
  repository: z.string(),
  repositoryState: z.enum(['absent', 'initialising', 'ready']),
  vault: z.string().describe('Name of the vault its repository lies in'),
})

const params = z.object({ host: z.string().max(255).describe('Id or name') })

const list = createRoute({
  method: 'get',
  path: '/hosts',
  summary: 'Hosts of the fleet',
  responses: { ...problems, 200: json(z.object({ items: z.array(host) }), 'By name') },
})
const show = createRoute({
  method: 'get',
  path: '/hosts/{host}',
  summary: 'One host',
  request: { params },
  responses: { ...problems, 200: json(host, 'The host') },
})
const remove = createRoute({
  method: 'delete',
  path: '/hosts/{host}',
  summary: 'Take a host out of the fleet; its snapshots stay',
  request: { params },
  responses: { ...problems, 204: { description: 'It is removed' } },
})

export function createHostRoutes({ fleet }: { fleet: Fleet }) {
  const shown = (one: Awaited<ReturnType<Fleet['host']>>) => ({
    id: one.id,
    name: one.name,
    state: fleet.state(one),
    version: one.version,
    enrolledAt: at(one.enrolledAt),
    lastSeen: atOrNull(one.lastSeen),
    recoveryRecipient: one.recoveryRecipient,
    recipient: one.recipient,
    publicKey: one.publicKey,
    engine: one.engine,
    inventoryAt: atOrNull(one.inventoryAt),
    sources: one.sources,
    repository: one.repository,
    repositoryState: one.repositoryState,
    vault: one.vault,
  })
  return createRoutes()
    .openapi(list, async (c) => c.json({ items: (await fleet.hosts()).map(shown) }, 200))
    .openapi(show, async (c) => c.json(shown(await fleet.host(c.req.valid('param').host)), 200))
    .openapi(remove, async (c) => {
      await fleet.remove(c.req.valid('param').host, c.get('identity'))
      return c.body(null, 204)
    })
}
