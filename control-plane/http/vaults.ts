import { createRoute, z } from '@hono/zod-openapi'
import { newVault, probeFinding, vaultCapabilities, vaultPlace } from '../../shared/vault/vault.ts'
import type { Vaults } from '../core/vaults.ts'
import type { Vault } from '../ports/store/vaults.ts'
import { createRoutes } from './room.ts'
import { at, atOrNull, body, json, problems, time } from './shapes.ts'

const vault = z.object({
  id: z.string(),
  name: z.string(),
  place: vaultPlace.describe('Where it lies; credentials are never shown'),
  isDefault: z.boolean(),
  capabilities: vaultCapabilities
    .nullable()
    .describe('What the last probe saw; null before the first'),
  findings: z.array(probeFinding).nullable(),
  probedAt: time.nullable(),
  clockSkewMs: z.int().nullable().describe("The control plane's clock minus the store's"),
  clockCheckedAt: time.nullable(),
  createdAt: time,
  retentionFloorDays: z
    .int()
    .describe('Days a snapshot stays after it was received, and a condemned pack after that'),
})

const params = z.object({ vault: z.string().min(1).max(64).describe('Name or id') })

const list = createRoute({
  method: 'get',
  path: '/vaults',
  summary: 'Vaults',
  responses: { ...problems, 200: json(z.object({ items: z.array(vault) }), 'By name') },
})
const show = createRoute({
  method: 'get',
  path: '/vaults/{vault}',
  summary: 'One vault, with what the last probe found',
  request: { params },
  responses: { ...problems, 200: json(vault, 'The vault') },
})
const add = createRoute({
  method: 'post',
  path: '/vaults',
  summary: 'Add a vault; it must be reachable and writable, and an S3 vault is probed at once',
  request: { body: body(newVault) },
  responses: { ...problems, 201: json(vault, 'The vault') },
})
const probe = createRoute({
  method: 'post',
  path: '/vaults/{vault}/probe',
  summary: 'Try on the vault what the holder of a grant could try, and record what it did',
  request: { params },
  responses: { ...problems, 200: json(vault, 'The vault with its findings') },
})
const makeDefault = createRoute({
  method: 'post',
  path: '/vaults/{vault}/default',
  summary: 'Let new hosts use this vault unless told otherwise',
  request: { params },
  responses: { ...problems, 200: json(vault, 'The vault') },
})

const setFloor = createRoute({
  method: 'put',
  path: '/vaults/{vault}/retention-floor',
  summary: 'Set for how many days nothing is forgotten or deleted, whatever a policy says',
  request: { params, body: body(z.strictObject({ days: z.int().min(1).max(3_650) })) },
  responses: { ...problems, 200: json(vault, 'The vault') },
})

export function createVaultRoutes({ vaults }: { vaults: Vaults }) {
  const shown = (one: Vault) => ({
    id: one.id,
    name: one.name,
    place: one.place,
    isDefault: one.isDefault,
    capabilities: one.capabilities,
    findings: one.findings === null ? null : [...one.findings],
    probedAt: atOrNull(one.probedAt),
    clockSkewMs: one.clockSkewMs,
    clockCheckedAt: atOrNull(one.clockCheckedAt),
    createdAt: at(one.createdAt),
    retentionFloorDays: one.retentionFloorDays,
  })
  return createRoutes()
    .openapi(list, async (c) => c.json({ items: (await vaults.list()).map(shown) }, 200))
    .openapi(show, async (c) => c.json(shown(await vaults.find(c.req.valid('param').vault)), 200))
    .openapi(add, async (c) =>
      c.json(shown(await vaults.add(c.req.valid('json'), c.get('identity'))), 201),
    )
    .openapi(probe, async (c) =>
      c.json(shown(await vaults.probe(c.req.valid('param').vault, c.get('identity'))), 200),
    )
    .openapi(setFloor, async (c) =>
      c.json(
        shown(
          await vaults.setFloor(
            c.req.valid('param').vault,
            c.req.valid('json').days,
            c.get('identity'),
          ),
        ),
        200,
      ),
    )
    .openapi(makeDefault, async (c) =>
      c.json(shown(await vaults.setDefault(c.req.valid('param').vault, c.get('identity'))), 200),
    )
}
