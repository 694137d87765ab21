import { createRoute, z } from '@hono/zod-openapi'
import { plainName } from '../../shared/ids.ts'
import type { EnrolmentTokens } from '../core/enrolment-tokens.ts'
import { createRoutes } from './room.ts'
import { at, body, json, problems, time } from './shapes.ts'

const issue = createRoute({
  method: 'post',
  path: '/enrolment-tokens',
  summary: 'Make a one-time token with which a host joins; it is shown once and lives ten minutes',
  request: {
    body: body(
      z.strictObject({
        vault: plainName
          .optional()
          .describe('Where its repository will lie; the default vault if left out'),
      }),
    ),
  },
  responses: {
    ...problems,
    201: json(
      z.object({
        id: z.string(),
        token: z.string(),
        vault: z.string(),
        expiresAt: time,
        url: z.string().describe('Where the agent dials'),
        command: z.string().describe('What to run on the host; it asks for the token'),
      }),
      'The token',
    ),
  },
})

export function createEnrolmentTokenRoutes(deps: { enrolmentTokens: EnrolmentTokens }) {
  return createRoutes().openapi(issue, async (c) => {
    const issued = await deps.enrolmentTokens.issue(c.req.valid('json'), c.get('identity'))
    return c.json({ ...issued, expiresAt: at(issued.expiresAt) }, 201)
  })
}
