// What this door says about itself, for programs and editors.
import { createRoute, z } from '@hono/zod-openapi'
import * as zod from 'zod'
import { policyDocument } from '../../shared/policy/document.ts'
import { createRoutes } from './room.ts'
import { json } from './shapes.ts'

const schema = createRoute({
  method: 'get',
  path: '/policy.schema.json',
  summary: 'JSON Schema of policy documents, for editors',
  responses: { 200: json(z.record(z.string(), z.unknown()), 'The schema') },
})

export function createDocumentRoutes() {
  const document = {
    ...zod.toJSONSchema(policyDocument, { io: 'input', unrepresentable: 'any' }),
    title: 'Holdfast policy',
  }
  return createRoutes().openapi(schema, (c) => c.json(document as Record<string, unknown>, 200))
}
