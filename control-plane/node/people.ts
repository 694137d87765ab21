// What people and programs ask of the plane, put together.
import { actorOf } from '../core/access.ts'
import type { AlertChannels } from '../core/alert-channels.ts'
import type { Alerts } from '../core/alerts.ts'
import { createApiTokens } from '../core/api-tokens.ts'
import { createAuditLog } from '../core/audit-log.ts'
import { createCatalogue } from '../core/catalogue.ts'
import type { Basics } from '../core/deps.ts'
import type { Dispatch } from '../core/dispatch.ts'
import { createEnrolmentTokens } from '../core/enrolment-tokens.ts'
import { newEvent } from '../core/event.ts'
import { createFleet } from '../core/fleet.ts'
import { createIdempotency } from '../core/idempotency.ts'
import { createJobListing } from '../core/job-listing.ts'
import { createJobRequests } from '../core/job-requests.ts'
import type { Log } from '../core/log.ts'
import { createPolicies } from '../core/policies.ts'
import { createPrunes } from '../core/prunes.ts'
import type { Reconcile } from '../core/reconcile.ts'
import type { DiskVaults } from '../core/restic-command.ts'
import type { Retention } from '../core/retention.ts'
import type { Vaults } from '../core/vaults.ts'
import { createApp } from '../http/app.ts'
import { createFailedAttempts } from '../http/failed-attempts.ts'
import type { Connections } from '../ports/connections.ts'
import type { SecretBox } from '../ports/secret-box.ts'
import type { Stores } from './stores.ts'

export interface PeopleDeps extends Basics {
  readonly stores: Stores
  readonly box: SecretBox
  readonly vaults: Vaults
  readonly retention: Retention
  readonly reconcile: Pick<Reconcile, 'repository'>
  readonly alerts: Alerts
  readonly alertChannels: AlertChannels
  readonly connections: Pick<Connections, 'close'>
  readonly dispatch: Pick<Dispatch, 'cancelled' | 'policyApplied'>
  /** Gives a host its new work, sooner than a timer would. */
  readonly wake: (host: string) => Promise<void>
  readonly publicUrl: string
  readonly disk: DiskVaults | undefined
  readonly ready: () => Promise<boolean>
  readonly log: Log
  readonly version: string
}

export function createPeople(deps: PeopleDeps) {
  const { stores, clock, random, log } = deps
  const basics = { clock, random }
  const { audit, fleet, policies } = stores
  const apiTokens = createApiTokens({ ...basics, store: stores.apiTokens })
  const catalogue = createCatalogue({
    ...basics,
    store: stores.catalogue,
    record: audit.record,
    fleet,
    disk: deps.disk,
  })
  const idempotency = createIdempotency({ ...basics, store: stores.idempotency, box: deps.box })
  const jobListing = createJobListing({ ...basics, store: stores.jobRequests, fleet })

  const prunes = createPrunes({
    ...basics,
    prunes: stores.prunes,
    retirements: stores.retirements,
    jobs: stores.jobRequests,
    fleet,
    reconcile: deps.reconcile,
    wake: deps.wake,
  })

  const app = createApp({
    alertChannels: deps.alertChannels,
    alerts: deps.alerts,
    apiTokens,
    auditLog: createAuditLog({ ...basics, store: audit, fleet }),
    catalogue,
    enrolmentTokens: createEnrolmentTokens({
      ...basics,
      store: stores.enrolmentTokens,
      publicUrl: deps.publicUrl,
    }),
    fleet: createFleet({ ...basics, store: fleet, policies, disconnect: deps.connections.close }),
    idempotency,
    jobListing,
    jobRequests: createJobRequests({
      ...basics,
      store: stores.jobRequests,
      fleet,
      catalogue,
      policies,
      adoption: { vaults: deps.vaults, catalogue: stores.catalogue, hosts: stores.hosts },
      wake: deps.wake,
      cancelled: deps.dispatch.cancelled,
    }),
    policies: createPolicies({
      ...basics,
      store: policies,
      fleet,
      applied: deps.dispatch.policyApplied,
    }),
    prunes,
    retention: deps.retention,
    vaults: deps.vaults,
    authenticate: apiTokens.authenticate,
    failures: createFailedAttempts(clock),
    refused: (identity, route) =>
      audit.record(
        newEvent(basics, {
          actor: actorOf(identity),
          action: 'access.refused',
          target: `route:${route}`,
          outcome: 'refused',
          details: { role: identity.role },
        }),
      ),
    ready: deps.ready,
    fault: (error) => log.error('a request failed', { error }),
    version: deps.version,
  })
  return { app, apiTokens, idempotency, jobListing, prunes }
}
