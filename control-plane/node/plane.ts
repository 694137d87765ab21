// The composition root: every part of a control plane on plain Node, put together once.
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { type Context, Hono } from 'hono'
import { DAY, HOUR, MINUTE, SECOND } from '../../shared/clock.ts'
import { openDatabase } from '../adapters/libsql/client.ts'
import { createAgentServices } from '../core/agent-services.ts'
import type { Defer, Log } from '../core/log.ts'
import { createRetention } from '../core/retention.ts'
import { createScheduler } from '../core/scheduler.ts'
import { createSecretBox, deriveKey, VAULT_URL_PURPOSE } from '../core/secret-box.ts'
import { createVaults } from '../core/vaults.ts'
import { createAgentDoor } from '../session/app.ts'
import { createAlerting } from './alerting.ts'
import type { Config } from './config.ts'
import { createVaultDoor } from './disk-objects/vault-door.ts'
import { sendExactly } from './exact-request.ts'
import { createLines } from './lines.ts'
import { masterKeyFile } from './master-key.ts'
import { createPeople } from './people.ts'
import type { ServerEnv } from './serve.ts'
import { createSockets } from './sockets.ts'
import { createStores } from './stores.ts'
import { systemClock as clock, systemRandom as random } from './system.ts'
import type { Task } from './timers.ts'
import { createVaultConnector } from './vault-connector.ts'

/** S3 wants MD5 as a transfer check beside SHA-256; nothing's security rests on it. */
const md5Hex = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex')

export async function createPlane(config: Config, log: Log, version: string) {
  const { data, publicUrl } = config
  const basics = { clock, random }
  await mkdir(data, { recursive: true, mode: 0o750 })
  const databaseFile = join(data, 'holdfast.db')
  const masterKeys = config.masterKeys ?? (await masterKeyFile(data, databaseFile))
  const box = await createSecretBox({ masterKeys, random })
  const urlKey = await deriveKey(masterKeys[0]!, VAULT_URL_PURPOSE)
  const database = await openDatabase({ url: `file:${databaseFile}` })
  const stores = createStores(database)

  /** For what nobody waits for: if it fails, a timer does it again. */
  const defer: Defer = (what, task) =>
    void task().catch((error: unknown) => log.error('deferred work failed', { what, error }))

  const connector = createVaultConnector({ dataDirectory: data, publicUrl, urlKey, clock })
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

  const alerting = createAlerting({
    ...basics,
    database,
    box,
    webhookAllow: config.webhookAllow,
    startedAt: clock.now(),
    fault: (error) => log.error('an alert was lost', { error }),
  })

  const lines = createLines(clock)
  const agents = createAgentServices({
    ...basics,
    stores,
    openVault: vaults.open,
    connections: lines,
    defer,
    publicUrl,
    startedAt: clock.monotonic(),
  })
  const wake = async (host: string) =>
    defer('give a host its work', () => agents.dispatch.host(host))

  const retention = createRetention({
    ...basics,
    snapshots: stores.snapshots,
    fleet: stores.fleet,
    policies: stores.policies,
    openVault: vaults.open,
  })

  const people = createPeople({
    ...basics,
    stores,
    box,
    vaults,
    retention,
    reconcile: agents.reconcile,
    alerts: alerting.alerts,
    alertChannels: alerting.alertChannels,
    connections: lines,
    dispatch: agents.dispatch,
    wake,
    publicUrl,
    disk: { folder: connector.pathOf, user: userInfo().username },
    ready: () =>
      database.read('SELECT 1').then(
        () => true,
        (error: unknown) => {
          log.error('the database does not answer', { error })
          return false
        },
      ),
    log,
    version,
  })

  const remoteAddress = (c: Context) => (c.env as ServerEnv).address
  const conversation = { agents, lines, clock, defer, log }
  const sockets = createSockets({ conversation, clock, log, remoteAddress })
  const doors = new Hono<{ Bindings: ServerEnv }>()
    .get('/agent/v1/connect', sockets.handler)
    .route('/agent/v1', createAgentDoor({ agents, lines, clock, defer, log, remoteAddress }))
    .all('*', (c) => people.app.fetch(c.req.raw, c.env))

  const scheduler = createScheduler({ ...basics, policies: stores.policies, fleet: stores.fleet })
  const { chores } = agents
  const tasks: Task[] = [
    ...alerting.tasks,
    {
      name: 'schedule',
      every: 5 * SECOND,
      async run() {
        const { queued, missed, hosts } = await scheduler.tick(clock.now())
        if (queued + missed > 0) log.info('policies were due', { queued, missed })
        await Promise.all(hosts.map(wake))
      },
    },
    { name: 'dispatch', every: 5 * SECOND, run: chores.dispatch },
    { name: 'commits', every: 10 * SECOND, run: chores.commits },
    { name: 'retirements', every: 10 * SECOND, run: chores.retirements },
    { name: 'retention', every: MINUTE, run: retention.sweep },
    {
      name: 'prunes',
      every: MINUTE,
      async run() {
        await Promise.all((await people.prunes.tick()).map(wake))
      },
    },
    { name: 'deletions', every: MINUTE, run: chores.deletions },
    { name: 'reconcile', every: 5 * MINUTE, run: chores.reconcile },
    { name: 'leases', every: MINUTE, run: chores.leases },
    { name: 'initialisations', every: MINUTE, run: chores.initialisations },
    { name: 'locks', every: 5 * MINUTE, run: chores.locks },
    { name: 'grants', every: 5 * MINUTE, run: chores.grants },
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
        await people.idempotency.forget()
        await people.jobListing.forgetPages(clock.now() - DAY)
      },
    },
  ]

  return {
    apiTokens: people.apiTokens,
    vaults,
    raw: vaultDoor,
    fetch: doors.fetch,
    webSockets: sockets.server,
    /** Ends every socket: agents dial again when they can. */
    disconnect: sockets.close,
    tasks,
    close() {
      sockets.close()
      database.close()
    },
  }
}
