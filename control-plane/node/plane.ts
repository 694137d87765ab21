// The composition root: every part of a control plane on plain Node, put together once.
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { DAY, HOUR, MINUTE, SECOND } from '../../shared/clock.ts'
import { openDatabase } from '../adapters/libsql/client.ts'
import { createApiTokensStore } from '../adapters/libsql/store/api-tokens.ts'
import { createAuditStore } from '../adapters/libsql/store/audit.ts'
import { createBatchesStore } from '../adapters/libsql/store/batches.ts'
import { createCatalogueStore } from '../adapters/libsql/store/catalogue.ts'
import { createEnrolmentTokenIssue } from '../adapters/libsql/store/enrolment-token-issue.ts'
import { createFleetStore } from '../adapters/libsql/store/fleet.ts'
import { createHostsStore } from '../adapters/libsql/store/hosts.ts'
import { createIdempotencyStore } from '../adapters/libsql/store/idempotency.ts'
import { createJobRequestsStore } from '../adapters/libsql/store/job-requests.ts'
import { createPoliciesStore } from '../adapters/libsql/store/policies.ts'
import { createRepositoriesStore } from '../adapters/libsql/store/repositories.ts'
import { createRunningJobsStore } from '../adapters/libsql/store/running-jobs.ts'
import { createVaultsStore } from '../adapters/libsql/store/vaults.ts'
import { actorOf } from '../core/access.ts'
import { createApiTokens } from '../core/api-tokens.ts'
import { createAuditLog } from '../core/audit-log.ts'
import { createCatalogue } from '../core/catalogue.ts'
import { createDispatch } from '../core/dispatch.ts'
import { createEnrolmentTokens } from '../core/enrolment-tokens.ts'
import { newEvent } from '../core/event.ts'
import { createFleet } from '../core/fleet.ts'
import { createIdempotency } from '../core/idempotency.ts'
import { createJobListing } from '../core/job-listing.ts'
import { createJobRequests } from '../core/job-requests.ts'
import type { Log } from '../core/log.ts'
import { createPolicies } from '../core/policies.ts'
import { createScheduler } from '../core/scheduler.ts'
import { createSecretBox, deriveKey, VAULT_URL_PURPOSE } from '../core/secret-box.ts'
import { createVaults } from '../core/vaults.ts'
import { createApp } from '../http/app.ts'
import { createFailedAttempts } from '../http/failed-attempts.ts'
import type { Connections } from '../ports/connections.ts'
import type { Config } from './config.ts'
import { createVaultDoor } from './disk-objects/vault-door.ts'
import { sendExactly } from './exact-request.ts'
import { masterKeyFile } from './master-key.ts'
import { systemClock as clock, systemRandom as random } from './system.ts'
import type { Task } from './timers.ts'
import { createVaultConnector } from './vault-connector.ts'

export type Plane = Awaited<ReturnType<typeof createPlane>>

export async function createPlane(config: Config, log: Log, version: string) {
  await mkdir(config.data, { recursive: true, mode: 0o750 })
  const databaseFile = join(config.data, 'holdfast.db')
  const masterKeys = config.masterKeys ?? (await masterKeyFile(config.data, databaseFile))
  const box = await createSecretBox({ masterKeys, random })
  const urlKey = await deriveKey(masterKeys[0]!, VAULT_URL_PURPOSE)
  const database = await openDatabase({ url: `file:${databaseFile}` })
  const { publicUrl } = config
  const basics = { clock, random }

  const stores = {
    apiTokens: createApiTokensStore(database),
    audit: createAuditStore(database),
    batches: createBatchesStore(database),
    catalogue: createCatalogueStore(database),
    fleet: createFleetStore(database),
    hosts: createHostsStore(database),
    idempotency: createIdempotencyStore(database),
    jobRequests: createJobRequestsStore(database),
    policies: createPoliciesStore(database),
    repositories: createRepositoriesStore(database),
    runningJobs: createRunningJobsStore(database),
    vaults: createVaultsStore(database),
  }

  const connector = createVaultConnector({ dataDirectory: config.data, publicUrl, urlKey, clock })
  const md5Hex = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex')
  const vaults = createVaults({
    ...basics,
    store: stores.vaults,
    secretBox: box,
    connect: connector.connect,
    send: sendExactly,
    md5Hex,
  })
  const vaultDoor = createVaultDoor({
    folderOf: connector.folderOf,
    urlKey,
    clock,
    onFault: (error) => log.error('the vault door failed', { error }),
  })

  const connections: Connections = {
    send: async () => false,
    close: async () => undefined,
    connected: () => false,
  }
  const dispatch = createDispatch({
    ...basics,
    batches: stores.batches,
    jobs: stores.runningJobs,
    hosts: stores.hosts,
    repositories: stores.repositories,
    connections,
  })
  // Whoever asks for a job does not wait for its start; what fails here a timer does again.
  const wake = (host: string) =>
    dispatch
      .host(host)
      .catch((error: unknown) => log.error('a host could not be given its work', { host, error }))

  const apiTokens = createApiTokens({ ...basics, store: stores.apiTokens })
  const catalogue = createCatalogue({
    store: stores.catalogue,
    fleet: stores.fleet,
    disk: { folder: connector.pathOf, user: userInfo().username },
  })
  const fleet = createFleet({
    ...basics,
    store: stores.fleet,
    policies: stores.policies,
    disconnect: connections.close,
  })
  const idempotency = createIdempotency({ ...basics, store: stores.idempotency, box })
  const jobListing = createJobListing({
    ...basics,
    store: stores.jobRequests,
    fleet: stores.fleet,
  })
  const jobRequests = createJobRequests({
    ...basics,
    store: stores.jobRequests,
    fleet: stores.fleet,
    catalogue,
    policies: stores.policies,
    wake: async (host) => void wake(host),
    cancelled: dispatch.cancelled,
  })
  const scheduler = createScheduler({ ...basics, policies: stores.policies, fleet: stores.fleet })

  const app = createApp({
    apiTokens,
    auditLog: createAuditLog({ ...basics, store: stores.audit, fleet: stores.fleet }),
    catalogue,
    enrolmentTokens: createEnrolmentTokens({
      ...basics,
      store: createEnrolmentTokenIssue(database),
      publicUrl,
    }),
    fleet,
    idempotency,
    jobListing,
    jobRequests,
    policies: createPolicies({ ...basics, store: stores.policies, fleet: stores.fleet }),
    authenticate: apiTokens.authenticate,
    failures: createFailedAttempts(clock),
    refused: (identity, route) =>
      stores.audit.record(
        newEvent(basics, {
          actor: actorOf(identity),
          action: 'access.refused',
          target: `route:${route}`,
          outcome: 'refused',
          details: { role: identity.role },
        }),
      ),
    ready: () =>
      database.read('SELECT 1').then(
        () => true,
        (error: unknown) => {
          log.error('the database does not answer', { error })
          return false
        },
      ),
    fault: (error) => log.error('a request failed', { error }),
    version,
  })

  const tasks: Task[] = [
    {
      name: 'schedule',
      every: 5 * SECOND,
      async run() {
        const { queued, missed, hosts } = await scheduler.tick(clock.now())
        if (queued + missed > 0) log.info('policies were due', { queued, missed })
        await Promise.all(hosts.map(wake))
      },
    },
    { name: 'dispatch', every: 10 * SECOND, run: dispatch.all },
    {
      name: 'clocks',
      every: HOUR,
      async run() {
        for (const { vault, error } of await vaults.checkClocks()) {
          log.warn("a vault's clock could not be read", { vault, error })
        }
      },
    },
    {
      name: 'forget',
      every: 10 * MINUTE,
      async run() {
        await idempotency.forget()
        await jobListing.forgetPages(clock.now() - DAY)
      },
    },
  ]

  return {
    apiTokens,
    vaults,
    raw: vaultDoor,
    fetch: app.fetch,
    tasks,
    close: () => database.close(),
  }
}
