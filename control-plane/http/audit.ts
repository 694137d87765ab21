import { createRoute, z } from '@hono/zod-openapi'
import { auditEvent } from '../../shared/audit/event.ts'
import { id } from '../../shared/ids.ts'
import { csvHeader, csvLine, ndjsonLine } from '../core/audit-lines.ts'
import type { AuditLog } from '../core/audit-log.ts'
import { createRoutes } from './room.ts'
import { cursorQuery, DEFAULT_PAGE, limitQuery, nextCursor, problems, timeQuery } from './shapes.ts'

const read = createRoute({
  method: 'get',
  path: '/audit',
  summary:
    'The audit log: pages newest first, or everything that matches as NDJSON or CSV, oldest first',
  request: {
    query: z.object({
      since: timeQuery.optional(),
      until: timeQuery.optional(),
      host: z.string().max(255).optional().describe('Id, or name of a host of the fleet'),
      actor: z.string().max(128).optional().describe('`token:<id>`, `host:<id>` or `system`'),
      action: z.string().max(64).optional().describe('e.g. `job.finished`, or `job.*`'),
      outcome: z.enum(['ok', 'refused', 'failed']).optional(),
      job: id.optional(),
      cursor: cursorQuery.optional(),
      limit: limitQuery.optional(),
      format: z.enum(['json', 'ndjson', 'csv']).default('json'),
    }),
  },
  responses: {
    ...problems,
    200: {
      description: 'Entries; reading them is itself noted in the log',
      content: {
        'application/json': {
          schema: z.object({
            items: z.array(z.object({ seq: z.int(), event: auditEvent })),
            next: nextCursor,
          }),
        },
        'application/x-ndjson': { schema: z.string() },
        'text/csv': { schema: z.string() },
      },
    },
  },
})

export function createAuditRoutes({ auditLog }: { auditLog: AuditLog }) {
  return createRoutes().openapi(read, async (c) => {
    const { cursor, limit, format, ...filter } = c.req.valid('query')
    const by = c.get('identity')
    if (format === 'json') {
      const page = await auditLog.page({ ...filter, cursor, limit: limit ?? DEFAULT_PAGE }, by)
      return c.json({ items: page.entries, next: page.next }, 200)
    }
    const parts = await auditLog.export(filter, format, by)
    const [type, head, line] =
      format === 'csv'
        ? (['text/csv; charset=utf-8; header=present', csvHeader, csvLine] as const)
        : (['application/x-ndjson', '', ndjsonLine] as const)
    return c.body(streamOf(parts, head, line), 200, {
      'content-type': type,
      'content-disposition': `attachment; filename="holdfast-audit.${format}"`,
      'cache-control': 'no-store',
      // The typed answer of this route is the page; exports are text.
    }) as never
  })
}

/** Text of the entries, step by step as it is read: a slow reader holds up the query, not the memory. */
function streamOf<T>(
  parts: AsyncIterable<readonly T[]>,
  head: string,
  line: (entry: T) => string,
): ReadableStream<Uint8Array> {
  const steps = parts[Symbol.asyncIterator]()
  const encoder = new TextEncoder()
  return new ReadableStream({
    start: (controller) => {
      if (head !== '') controller.enqueue(encoder.encode(head))
    },
    async pull(controller) {
      const step = await steps.next()
      if (step.done === true) return controller.close()
      controller.enqueue(encoder.encode(step.value.map(line).join('')))
    },
    cancel: async () => {
      await steps.return?.()
    },
  })
}
