// Who may enter which route. One table: the guard enforces it, a test walks it.
import type { Role } from '../../shared/access/role.ts'

/** `open`: no token at all. */
export type Access = 'open' | readonly Role[]

const everyone = 'open'
const admin = ['admin'] as const
/** Restores, reading files and revocations ask further questions in the core (`core/access.ts`). */
const operators = ['admin', 'operator'] as const
const auditors = ['admin', 'operator', 'auditor'] as const

export const access: Readonly<Record<string, Access>> = {
  'GET /health/live': everyone,
  'GET /health/ready': everyone,
  'GET /api/v1/openapi.json': everyone,
  'GET /api/v1/policy.schema.json': everyone,

  'GET /api/v1/audit': auditors,

  'GET /api/v1/api-tokens': operators,
  'POST /api/v1/api-tokens': admin,
  'DELETE /api/v1/api-tokens/:id': operators,
  'POST /api/v1/enrolment-tokens': operators,

  'GET /api/v1/hosts': operators,
  'GET /api/v1/hosts/:host': operators,
  'DELETE /api/v1/hosts/:host': admin,
  'GET /api/v1/sources': operators,

  'GET /api/v1/policies': operators,
  'GET /api/v1/policies/:name': operators,
  'PUT /api/v1/policies/:name': operators,
  'DELETE /api/v1/policies/:name': operators,

  'POST /api/v1/jobs/backup': operators,
  'POST /api/v1/jobs/restore': operators,
  'POST /api/v1/jobs/browse': operators,
  'POST /api/v1/jobs/verify': operators,
  'POST /api/v1/jobs/adopt': admin,
  'POST /api/v1/jobs/prune': operators,
  'POST /api/v1/jobs/:id/approve': admin,
  'GET /api/v1/jobs': operators,
  'GET /api/v1/jobs/:id': operators,
  'POST /api/v1/jobs/:id/cancel': operators,
  'GET /api/v1/jobs/:id/report': operators,
  'GET /api/v1/jobs/:id/pages/:page': operators,

  'GET /api/v1/snapshots': operators,
  'GET /api/v1/snapshots/:id': operators,
  'POST /api/v1/snapshots/:id/hold': operators,
  'DELETE /api/v1/snapshots/:id/hold': admin,
  'POST /api/v1/snapshots/:id/claim': admin,
  'GET /api/v1/retention/preview': operators,
  'GET /api/v1/repositories': operators,
  'GET /api/v1/repositories/:id': operators,

  'GET /api/v1/vaults': operators,
  'GET /api/v1/vaults/:vault': operators,
  'POST /api/v1/vaults': admin,
  'POST /api/v1/vaults/:vault/probe': operators,
  'POST /api/v1/vaults/:vault/default': admin,
  'PUT /api/v1/vaults/:vault/retention-floor': admin,

  'GET /api/v1/alert-channels': operators,
  'POST /api/v1/alert-channels': admin,
  'DELETE /api/v1/alert-channels/:name': admin,
  'POST /api/v1/alert-channels/:name/test': operators,
  'GET /api/v1/alert-deliveries': operators,
}
