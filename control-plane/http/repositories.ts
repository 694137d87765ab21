import { createRoute, z } from '@hono/zod-openapi'
import { vaultPlace } from '../../shared/vault/vault.ts'
import type { Catalogue, RepositoryFacts } from '../core/catalogue.ts'
import { createRoutes } from './room.ts'
import { at, atOrNull, json, problems, time } from './shapes.ts'

const repository = z.object({
  id: z.string(),
  host: z.string(),
  hostName: z.string(),
  vault: z.string().describe('Name of the vault'),
  place: vaultPlace,
  state: z.enum(['absent', 'initialising', 'ready']),
  createdAt: time,
  readyAt: time.nullable(),
  snapshots: z.int(),
  bytes: z.int().describe('Bytes of packs and index files'),
  restic: z
    .object({ read: z.string(), write: z.string().nullable(), notes: z.array(z.string()) })
    .describe('How to reach it with stock restic, without Holdfast'),
})
const escrow = z.object({
  n: z.int(),
  recipient: z.string().describe('The recovery recipient it is sealed to'),
  sealed: z.string().describe('The recovery password as age ciphertext, base64'),
  at: time,
})

const list = createRoute({
  method: 'get',
  path: '/repositories',
  summary: 'Repositories',
  responses: { ...problems, 200: json(z.object({ items: z.array(repository) }), 'By host name') },
})
const show = createRoute({
  method: 'get',
  path: '/repositories/{id}',
  summary: 'One repository, with its escrowed recovery passwords, sealed',
  request: {
    params: z.object({ id: z.string().max(255).describe("Its id, or its host's id or name") }),
  },
  responses: {
    ...problems,
    200: json(repository.extend({ escrows: z.array(escrow) }), 'The repository'),
  },
})

export function createRepositoryRoutes({ catalogue }: { catalogue: Catalogue }) {
  const shown = ({ repository: one, restic }: RepositoryFacts) => ({
    id: one.id,
    host: one.host,
    hostName: one.hostName,
    vault: one.vaultName,
    place: one.place,
    state: one.state,
    createdAt: at(one.createdAt),
    readyAt: atOrNull(one.readyAt),
    snapshots: one.snapshots,
    bytes: one.bytes,
    restic: { read: restic.read, write: restic.write ?? null, notes: [...restic.notes] },
  })
  return createRoutes()
    .openapi(list, async (c) => c.json({ items: (await catalogue.repositories()).map(shown) }, 200))
    .openapi(show, async (c) => {
      const found = await catalogue.repository(c.req.valid('param').id, c.get('identity'))
      const escrows = found.escrows.map((one) => ({ ...one, at: at(one.at) }))
      return c.json({ ...shown(found), escrows }, 200)
    })
}
