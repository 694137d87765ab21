import { createRoute, z } from '@hono/zod-openapi'
import { plainName } from '../../shared/ids.ts'
import { policyDocument } from '../../shared/policy/document.ts'
import type { CoveredPolicy, Policies } from '../core/policies.ts'
import { InvalidFields } from '../core/problem.ts'
import { createRoutes } from './room.ts'
import { at, atOrNull, body, json, numberQuery, problems, time } from './shapes.ts'

const policy = z.object({
  name: z.string(),
  version: z.int(),
  document: policyDocument,
  createdAt: time,
  updatedAt: time,
  nextAt: time.nullable().describe('When it runs next; null without a schedule'),
  covers: z
    .array(z.object({ host: z.string(), hostName: z.string(), source: z.string() }))
    .describe('What it covers right now'),
})

const params = z.object({ name: plainName })
const version = numberQuery(0, Number.MAX_SAFE_INTEGER).optional()

const list = createRoute({
  method: 'get',
  path: '/policies',
  summary: 'Policies',
  responses: { ...problems, 200: json(z.object({ items: z.array(policy) }), 'By name') },
})
const show = createRoute({
  method: 'get',
  path: '/policies/{name}',
  summary: 'One policy',
  request: { params },
  responses: { ...problems, 200: json(policy, 'The policy') },
})
const apply = createRoute({
  method: 'put',
  path: '/policies/{name}',
  summary: 'Make a policy be as the document says',
  request: {
    params,
    query: z.object({
      version: version.describe('Refuse unless it has this version; 0: unless there is none'),
    }),
    body: body(policyDocument),
  },
  responses: {
    ...problems,
    200: json(
      policy.extend({ change: z.enum(['created', 'replaced', 'unchanged']) }),
      'The policy as it is now',
    ),
  },
})
const remove = createRoute({
  method: 'delete',
  path: '/policies/{name}',
  summary: 'Delete a policy; its waiting runs are cancelled, snapshots stay',
  request: { params, query: z.object({ version }) },
  responses: { ...problems, 204: { description: 'It is deleted' } },
})

export function createPolicyRoutes({ policies }: { policies: Policies }) {
  const shown = ({ policy: one, covers }: CoveredPolicy) => ({
    name: one.name,
    version: one.version,
    document: one.document,
    createdAt: at(one.createdAt),
    updatedAt: at(one.updatedAt),
    nextAt: atOrNull(one.nextAt),
    covers: covers.map(({ host, hostName, source }) => ({ host, hostName, source })),
  })
  return createRoutes()
    .openapi(list, async (c) => c.json({ items: (await policies.list()).map(shown) }, 200))
    .openapi(show, async (c) => c.json(shown(await policies.show(c.req.valid('param').name)), 200))
    .openapi(apply, async (c) => {
      const document = c.req.valid('json')
      if (document.name !== c.req.valid('param').name) {
        throw new InvalidFields([{ path: ['name'], message: 'must be the name in the address' }])
      }
      const { version: expected } = c.req.valid('query')
      const applied = await policies.apply(document, expected, c.get('identity'))
      return c.json({ ...shown(applied), change: applied.change }, 200)
    })
    .openapi(remove, async (c) => {
      const { version: expected } = c.req.valid('query')
      await policies.remove(c.req.valid('param').name, expected, c.get('identity'))
      return c.body(null, 204)
    })
}
