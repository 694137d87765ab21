// The door for people and programs: every route it has, on one page.
import { OpenAPIHono } from '@hono/zod-openapi'
import { bodyLimit } from 'hono/body-limit'
import { secureHeaders } from 'hono/secure-headers'
import { PROBLEM_TYPE } from '../../shared/problem.ts'
import type { AlertChannels } from '../core/alert-channels.ts'
import type { Alerts } from '../core/alerts.ts'
import type { ApiTokens } from '../core/api-tokens.ts'
import type { AuditLog } from '../core/audit-log.ts'
import type { Catalogue } from '../core/catalogue.ts'
import type { EnrolmentTokens } from '../core/enrolment-tokens.ts'
import type { Fleet } from '../core/fleet.ts'
import type { Idempotency } from '../core/idempotency.ts'
import type { JobListing } from '../core/job-listing.ts'
import type { JobRequests } from '../core/job-requests.ts'
import type { Policies } from '../core/policies.ts'
import { problem } from '../core/problem.ts'
import type { Prunes } from '../core/prunes.ts'
import type { Retention } from '../core/retention.ts'
import type { Vaults } from '../core/vaults.ts'
import { createAlertRoutes } from './alerts.ts'
import { createApiTokenRoutes } from './api-tokens.ts'
import { createAuditRoutes } from './audit.ts'
import { createDocumentRoutes } from './documents.ts'
import { createEnrolmentTokenRoutes } from './enrolment-tokens.ts'
import { createGuard, type GuardDeps } from './guard.ts'
import { createHealthRoutes } from './health.ts'
import { createHostRoutes } from './hosts.ts'
import { createIdempotent, known } from './idempotent.ts'
import { createJobRoutes } from './jobs.ts'
import { createPolicyRoutes } from './policies.ts'
import { createPruneRoutes } from './prunes.ts'
import { createRepositoryRoutes } from './repositories.ts'
import { createRetentionRoutes } from './retention.ts'
import type { DoorEnv } from './room.ts'
import { createSnapshotRoutes } from './snapshots.ts'
import { createSourceRoutes } from './sources.ts'
import { createVaultRoutes } from './vaults.ts'

export interface AppDeps extends GuardDeps {
  readonly alertChannels: AlertChannels
  readonly alerts: Alerts
  readonly apiTokens: ApiTokens
  readonly auditLog: AuditLog
  readonly catalogue: Catalogue
  readonly enrolmentTokens: EnrolmentTokens
  readonly fleet: Fleet
  readonly idempotency: Pick<Idempotency, 'once'>
  readonly jobListing: JobListing
  readonly jobRequests: JobRequests
  readonly policies: Policies
  readonly prunes: Prunes
  readonly retention: Retention
  readonly vaults: Vaults
  /** Is the database there? */
  readonly ready: () => Promise<boolean>
  /** A fault of ours, which callers see only as `internal`. */
  readonly fault: (error: Error) => void
  readonly version: string
}

/** Largest request body, in bytes: a policy or a restore of 1,000 paths is far below. */
const MAX_BODY = 1 << 20

export type App = ReturnType<typeof createApp>

export function createApp(deps: AppDeps) {
  const app = new OpenAPIHono<DoorEnv>()
  app.use(secureHeaders())
  app.use(async (c, next) => {
    await next()
    // Answers are of the moment, and some hold a token.
    if (!c.res.headers.has('cache-control')) c.res.headers.set('cache-control', 'no-store')
  })
  app.use(createGuard(deps))
  app.use(bodyLimit({ maxSize: MAX_BODY }))
  app.use(createIdempotent(deps.idempotency))

  const routes = app
    .route('/health', createHealthRoutes(deps))
    .route('/api/v1', createDocumentRoutes())
    .route('/api/v1', createApiTokenRoutes(deps))
    .route('/api/v1', createEnrolmentTokenRoutes(deps))
    .route('/api/v1', createHostRoutes(deps))
    .route('/api/v1', createSourceRoutes(deps))
    .route('/api/v1', createPolicyRoutes(deps))
    .route('/api/v1', createPruneRoutes(deps))
    .route('/api/v1', createJobRoutes(deps))
    .route('/api/v1', createSnapshotRoutes(deps))
    .route('/api/v1', createRetentionRoutes(deps))
    .route('/api/v1', createRepositoryRoutes(deps))
    .route('/api/v1', createVaultRoutes(deps))
    .route('/api/v1', createAlertRoutes(deps))
    .route('/api/v1', createAuditRoutes(deps))

  app.openAPIRegistry.registerComponent('securitySchemes', 'token', {
    type: 'http',
    scheme: 'bearer',
    bearerFormat: 'hf_api_…',
  })
  app.doc31('/api/v1/openapi.json', {
    openapi: '3.1.0',
    info: { title: 'Holdfast', version: deps.version },
    security: [{ token: [] }],
  })

  app.onError((raised, c) => {
    const error = known(raised)
    const answer = problem(error)
    if (answer.code === 'internal') deps.fault(raised)
    return c.body(JSON.stringify(answer), answer.status as 500, { 'content-type': PROBLEM_TYPE })
  })
  return routes
}
