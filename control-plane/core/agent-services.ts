// Everything behind the agents' door, put together once: the same on every runtime.
import type { Connections } from '../ports/connections.ts'
import type { AgentReportsStore } from '../ports/store/agent-reports.ts'
import type { AgentSessionsStore } from '../ports/store/agent-sessions.ts'
import type { AlarmsStore } from '../ports/store/alarms.ts'
import type { AuditStore } from '../ports/store/audit.ts'
import type { BatchesStore } from '../ports/store/batches.ts'
import type { CommitsStore } from '../ports/store/commits.ts'
import type { EnrolmentsStore } from '../ports/store/enrolments.ts'
import type { GrantsStore } from '../ports/store/grants.ts'
import type { HostsStore } from '../ports/store/hosts.ts'
import type { LocksStore } from '../ports/store/locks.ts'
import type { RepositoriesStore } from '../ports/store/repositories.ts'
import type { RetirementsStore } from '../ports/store/retirements.ts'
import type { RunningJobsStore } from '../ports/store/running-jobs.ts'
import type { SnapshotsStore } from '../ports/store/snapshots.ts'
import { createAgentEvents } from './agent-events.ts'
import { createAttempts } from './attempts.ts'
import { createCommits } from './commit.ts'
import { createCommitChecks } from './commit-checks.ts'
import { createDeletions } from './deletions.ts'
import type { Basics } from './deps.ts'
import { createDispatch } from './dispatch.ts'
import { createEnrolment } from './enrolment.ts'
import { createFinish } from './finish.ts'
import { createGrants } from './grants.ts'
import { createInitialise } from './initialise.ts'
import { createLeases } from './leases.ts'
import { createLocks } from './locks.ts'
import type { Defer } from './log.ts'
import { createProposals } from './proposals.ts'
import { createReconcile } from './reconcile.ts'
import { createRetire } from './retire.ts'
import { createRetireChecks } from './retire-checks.ts'
import { createRetireJudge } from './retire-judge.ts'
import { createSessions } from './sessions.ts'
import { createStoreView } from './store-view.ts'
import type { OpenVault } from './vault-access.ts'

/** The stores behind the door. */
export interface AgentStores {
  readonly enrolments: EnrolmentsStore
  readonly sessions: AgentSessionsStore
  readonly hosts: HostsStore
  readonly batches: BatchesStore
  readonly jobs: RunningJobsStore
  readonly repositories: RepositoriesStore
  readonly grants: GrantsStore
  readonly locks: LocksStore
  readonly commits: CommitsStore
  readonly reports: AgentReportsStore
  readonly alarms: AlarmsStore
  readonly retirements: RetirementsStore
  readonly snapshots: SnapshotsStore
  readonly audit: Pick<AuditStore, 'record'>
}

export interface AgentServicesDeps extends Basics {
  readonly stores: AgentStores
  readonly openVault: OpenVault
  readonly connections: Connections
  readonly defer: Defer
  /** Under which agents know us; its scheme, host and port are what they sign at each connect. */
  readonly publicUrl: string
  /** Monotonic time at which this process began to serve. */
  readonly startedAt: number
}

export function createAgentServices(deps: AgentServicesDeps) {
  const { stores, openVault, connections, defer, publicUrl, startedAt, clock, random } = deps
  const shared = { ...stores, openVault, clock, random }
  const attempts = createAttempts(shared)
  const checks = createCommitChecks(shared)
  const dispatch = createDispatch({ ...shared, connections })
  const leases = createLeases({ ...shared, startedAt })
  const locks = createLocks({ ...shared, attempts })
  const initialise = createInitialise({ ...shared, attempts })
  const commits = createCommits({ ...shared, attempts, commits: stores.commits, checks, defer })
  const reconcile = createReconcile({ ...shared, attempts })
  const retirementChecks = createRetireChecks({ ...shared, judge: createRetireJudge(shared) })
  const retire = createRetire({ ...shared, attempts, checks: retirementChecks, defer })
  const deletions = createDeletions(shared)
  return {
    enrolment: createEnrolment(shared),
    sessions: createSessions({ ...shared, origin: new URL(publicUrl).origin }),
    dispatch,
    leases,
    grants: createGrants({ ...shared, attempts }),
    storeView: createStoreView({ ...shared, attempts }),
    locks,
    initialise,
    commits,
    proposals: createProposals({ ...shared, attempts, reconcile }),
    retire,
    reconcile,
    finish: createFinish({ ...shared, attempts }),
    events: createAgentEvents(shared),

    /**
     * What must go on although nobody asks: work a restart interrupted, and ends nobody announced. A timer
     * starts each on its own, so that one that fails (its vault is away) holds up no other.
     */
    chores: {
      /** Every 5 s. */
      dispatch: () => dispatch.all(),
      /** Every 10 s. */
      commits: () => commits.sweep(),
      /** Every 10 s. */
      retirements: () => retire.sweep(),
      /** Every minute. */
      deletions: () => deletions.sweep(),
      /** Every 5 minutes. */
      reconcile: () => reconcile.sweep(),
      /** Every minute. */
      leases: () => leases.expire(),
      /** Every minute. */
      initialisations: () => initialise.sweep(),
      /** Every 5 minutes. */
      locks: () => locks.sweep(),
      /** Every 5 minutes. */
      grants: () => stores.grants.forget(clock.now()),
    },
  }
}
export type AgentServices = ReturnType<typeof createAgentServices>
