// Every store over one database.
import type { Database } from '../adapters/libsql/client.ts'
import { createAgentReportsStore } from '../adapters/libsql/store/agent-reports.ts'
import { createAgentSessionsStore } from '../adapters/libsql/store/agent-sessions.ts'
import { createAlarmsStore } from '../adapters/libsql/store/alarms.ts'
import { createApiTokensStore } from '../adapters/libsql/store/api-tokens.ts'
import { createAuditStore } from '../adapters/libsql/store/audit.ts'
import { createBatchesStore } from '../adapters/libsql/store/batches.ts'
import { createCatalogueStore } from '../adapters/libsql/store/catalogue.ts'
import { createCommitsStore } from '../adapters/libsql/store/commits.ts'
import { createEnrolmentTokenIssue } from '../adapters/libsql/store/enrolment-token-issue.ts'
import { createEnrolmentsStore } from '../adapters/libsql/store/enrolments.ts'
import { createFleetStore } from '../adapters/libsql/store/fleet.ts'
import { createGrantsStore } from '../adapters/libsql/store/grants.ts'
import { createHostsStore } from '../adapters/libsql/store/hosts.ts'
import { createIdempotencyStore } from '../adapters/libsql/store/idempotency.ts'
import { createJobRequestsStore } from '../adapters/libsql/store/job-requests.ts'
import { createLocksStore } from '../adapters/libsql/store/locks.ts'
import { createPoliciesStore } from '../adapters/libsql/store/policies.ts'
import { createPrunesStore } from '../adapters/libsql/store/prunes.ts'
import { createRepositoriesStore } from '../adapters/libsql/store/repositories.ts'
import { createRetirementsStore } from '../adapters/libsql/store/retirements.ts'
import { createRunningJobsStore } from '../adapters/libsql/store/running-jobs.ts'
import { createSnapshotsStore } from '../adapters/libsql/store/snapshots.ts'
import { createVaultsStore } from '../adapters/libsql/store/vaults.ts'

export type Stores = ReturnType<typeof createStores>

export function createStores(database: Database) {
  return {
    audit: createAuditStore(database),
    vaults: createVaultsStore(database),
    // What people see and ask for.
    apiTokens: createApiTokensStore(database),
    catalogue: createCatalogueStore(database),
    enrolmentTokens: createEnrolmentTokenIssue(database),
    fleet: createFleetStore(database),
    idempotency: createIdempotencyStore(database),
    jobRequests: createJobRequestsStore(database),
    policies: createPoliciesStore(database),
    // What agents do.
    alarms: createAlarmsStore(database),
    batches: createBatchesStore(database),
    commits: createCommitsStore(database),
    enrolments: createEnrolmentsStore(database),
    grants: createGrantsStore(database),
    hosts: createHostsStore(database),
    jobs: createRunningJobsStore(database),
    locks: createLocksStore(database),
    reports: createAgentReportsStore(database),
    repositories: createRepositoriesStore(database),
    prunes: createPrunesStore(database),
    retirements: createRetirementsStore(database),
    sessions: createAgentSessionsStore(database),
    snapshots: createSnapshotsStore(database),
  }
}
