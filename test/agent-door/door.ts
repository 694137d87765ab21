// A control plane with nothing but its agents' door: a real libSQL file, a real HTTP server, real sockets.
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type ServerType, serve } from '@hono/node-server'
import { Hono } from 'hono'
import { type Database, openDatabase } from '../../control-plane/adapters/libsql/client.ts'
import { createAgentReportsStore } from '../../control-plane/adapters/libsql/store/agent-reports.ts'
import { createAgentSessionsStore } from '../../control-plane/adapters/libsql/store/agent-sessions.ts'
import { createAlarmsStore } from '../../control-plane/adapters/libsql/store/alarms.ts'
import { createAuditStore } from '../../control-plane/adapters/libsql/store/audit.ts'
import { createBatchesStore } from '../../control-plane/adapters/libsql/store/batches.ts'
import { createCommitsStore } from '../../control-plane/adapters/libsql/store/commits.ts'
import { createEnrolmentsStore } from '../../control-plane/adapters/libsql/store/enrolments.ts'
import { createGrantsStore } from '../../control-plane/adapters/libsql/store/grants.ts'
import { createHostsStore } from '../../control-plane/adapters/libsql/store/hosts.ts'
import { createLocksStore } from '../../control-plane/adapters/libsql/store/locks.ts'
import { createRepositoriesStore } from '../../control-plane/adapters/libsql/store/repositories.ts'
import { createRetirementsStore } from '../../control-plane/adapters/libsql/store/retirements.ts'
import { createRunningJobsStore } from '../../control-plane/adapters/libsql/store/running-jobs.ts'
import { createSnapshotsStore } from '../../control-plane/adapters/libsql/store/snapshots.ts'
import { type AgentServices, createAgentServices } from '../../control-plane/core/agent-services.ts'
import type { Log } from '../../control-plane/core/log.ts'
import { createLines } from '../../control-plane/node/lines.ts'
import { createSockets } from '../../control-plane/node/sockets.ts'
import type { Objects } from '../../control-plane/ports/objects.ts'
import { createAgentDoor } from '../../control-plane/session/app.ts'
import type { Clock, Random } from '../../shared/clock.ts'
import { systemRandom } from '../support/system-clock.ts'

/** What agents are told the control plane is called, wherever a test lets it listen. */
export const ORIGIN = 'https://plane.example'
export const VAULT = '01900000-0000-7000-8000-000000000001'

export interface Door {
  /** Where it listens. */
  readonly url: string
  readonly agents: AgentServices
  readonly database: Database
  /** Everything it logged, as text. */
  readonly logged: string[]
  /** Has it noticed that this host is there? */
  connected(host: string): boolean
  /** Resolves when no deferred work is under way. */
  settled(): Promise<void>
  stop(): Promise<void>
}

export interface DoorOptions {
  readonly file: string
  readonly clock: Clock
  readonly objects: Objects
  readonly clockSkewMs?: number
  readonly random?: Random
  /** Wraps the database, to let it fail. */
  readonly wrap?: (database: Database) => Database
  /** As if it had been up for this long, in ms. */
  readonly upFor?: number
}

export async function openDoor(options: DoorOptions): Promise<Door> {
  const { clock, objects } = options
  const real = await openDatabase({ url: `file:${options.file}` })
  const database = options.wrap?.(real) ?? real
  const random = options.random ?? systemRandom
  const logged: string[] = []
  const write = (message: string, fields?: object) =>
    void logged.push(JSON.stringify({ message, ...fields }))
  const log: Log = { info: write, warn: write, error: write }
  const tasks = new Set<Promise<void>>()
  const defer = (what: string, task: () => Promise<void>) => {
    const run: Promise<void> = task()
      .catch((error) => write(`deferred: ${what}`, { error: String(error) }))
      .finally(() => tasks.delete(run))
    tasks.add(run)
  }
  const lines = createLines(clock)
  const agents = createAgentServices({
    clock,
    random,
    defer,
    connections: lines,
    publicUrl: `${ORIGIN}/`,
    startedAt: clock.monotonic() - (options.upFor ?? 0),
    openVault: async () => ({ objects, clockSkewMs: options.clockSkewMs ?? null }),
    stores: {
      enrolments: createEnrolmentsStore(database),
      sessions: createAgentSessionsStore(database),
      hosts: createHostsStore(database),
      batches: createBatchesStore(database),
      jobs: createRunningJobsStore(database),
      repositories: createRepositoriesStore(database),
      grants: createGrantsStore(database),
      locks: createLocksStore(database),
      commits: createCommitsStore(database),
      reports: createAgentReportsStore(database),
      retirements: createRetirementsStore(database),
      snapshots: createSnapshotsStore(database),
      alarms: createAlarmsStore(database),
      audit: createAuditStore(database),
    },
  })
  const remoteAddress = () => '127.0.0.1'
  const sockets = createSockets({
    conversation: { agents, lines, clock, defer, log },
    clock,
    log,
    remoteAddress,
  })
  const app = new Hono()
  app.get('/agent/v1/connect', sockets.handler)
  app.route('/agent/v1', createAgentDoor({ agents, lines, clock, defer, log, remoteAddress }))
  const server: ServerType = serve({
    fetch: app.fetch,
    port: 0,
    hostname: '127.0.0.1',
    websocket: { server: sockets.server },
  })
  await once(server, 'listening')
  const settled = async () => {
    while (tasks.size > 0) await Promise.all(tasks)
  }
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    agents,
    database: real,
    logged,
    connected: lines.connected,
    settled,
    async stop() {
      sockets.close()
      for (const socket of sockets.server.clients) socket.terminate()
      if ('closeAllConnections' in server) server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await settled()
      real.close()
    },
  }
}

/** A vault row and an enrolment token's hash, as other rooms would write them. */
export async function offerEnrolment(
  database: Database,
  token: { id: string; hash: string; expiresAt: number },
): Promise<void> {
  await database.write([
    {
      sql: `INSERT INTO vaults (id, name, place_json, is_default, created_at)
            VALUES (?, 'main', '{"kind":"disk"}', 1, 0) ON CONFLICT DO NOTHING`,
      args: [VAULT],
    },
    {
      sql: `INSERT INTO enrolment_tokens (id, hash, vault, created_by, created_at, expires_at)
            VALUES (?, ?, ?, 'system', 0, ?)`,
      args: [token.id, token.hash, VAULT, token.expiresAt],
    },
  ])
}
