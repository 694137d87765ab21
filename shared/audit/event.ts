// One line of the audit log. Its canonical bytes are the leaves of the transparency log to come, so
// the shape never changes under an existing `v`.
import * as z from 'zod'
import { canonicalJson, type Json } from '../canonical-json.ts'
import { id } from '../ids.ts'

/** Largest entry in bytes (a tile log's entries carry a 16-bit length). */
export const MAX_EVENT_BYTES = 65_535

const detail = z.union([z.string().max(4_096), z.int(), z.boolean(), z.null()])

export const auditEvent = z.strictObject({
  v: z.literal(1),
  id,
  /** Server time, RFC 3339 with milliseconds, UTC. */
  at: z.iso.datetime({ precision: 3 }),
  /** Who: `token:<id>` (a person's or program's), `host:<id>`, or `system`. */
  actor: z.string().max(128),
  /** What: a dotted verb, e.g. `policy.applied`, `job.finished`, `grant.issued`. */
  action: z
    .string()
    .regex(/^[a-z]+(?:-[a-z]+)*(?:\.[a-z]+(?:-[a-z]+)*)+$/)
    .max(64),
  /** To what: `<kind>:<id or name>`. */
  target: z.string().max(300),
  outcome: z.enum(['ok', 'refused', 'failed']),
  request: z.string().max(64).optional(),
  host: id.optional(),
  job: id.optional(),
  /** Facts, flat. No secrets, no file names, no health data. */
  details: z.record(z.string().max(64), detail),
})
export type AuditEvent = z.infer<typeof auditEvent>

/** The bytes of a leaf: canonical JSON in UTF-8. */
export function eventText(event: AuditEvent): string {
  return canonicalJson(event as unknown as Json)
}
