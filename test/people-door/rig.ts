// The people's door over a real libSQL file, with a clock that moves when told to, and hosts that are rows.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Database, openDatabase } from '../../control-plane/adapters/libsql/client.ts'
import type { Identity } from '../../control-plane/core/access.ts'
import { createAttempts } from '../../control-plane/core/attempts.ts'
import { createReconcile } from '../../control-plane/core/reconcile.ts'
import { createRetention } from '../../control-plane/core/retention.ts'
import { createSecretBox } from '../../control-plane/core/secret-box.ts'
import { createVaults } from '../../control-plane/core/vaults.ts'
import { createAlerting } from '../../control-plane/node/alerting.ts'
import { createPeople } from '../../control-plane/node/people.ts'
import { createStores, type Stores } from '../../control-plane/node/stores.ts'
import { createVaultConnector } from '../../control-plane/node/vault-connector.ts'
import type { Role } from '../../shared/access/role.ts'
import { newId } from '../../shared/ids.ts'
import { createMemoryClock, createSeededRandom, type MemoryClock } from '../support/memory-clock.ts'

export const RECOVERY = `age1${'q'.repeat(58)}`
export const RECIPIENT = `age1${'p'.repeat(58)}`

export interface SeededVolume {
  readonly name: string
  readonly labels?: Record<string, string>
  readonly project?: string
  readonly anonymous?: boolean
  readonly unsupported?: string
}

export interface SeededHost {
  readonly id: string
  readonly name: string
  readonly repository: string
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // biome-ignore lint/suspicious/noExplicitAny: what a test looks at is what it asserts
  readonly body: any
}

export type Rig = Awaited<ReturnType<typeof openRig>>

/** `start`: the clock's first moment. */
export async function openRig(options: { start?: number } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-people-'))
  const database = await openDatabase({ url: `file:${join(folder, 'db')}` })
  const clock = createMemoryClock(options.start)
  const random = createSeededRandom(folder)
  const basics = { clock, random }
  const stores = createStores(database)
  const box = await createSecretBox({ masterKeys: [random.bytes(32)], random })
  const publicUrl = 'https://plane.test'
  const connector = createVaultConnector({
    dataDirectory: folder,
    publicUrl,
    urlKey: random.bytes(32),
    clock,
    reserveBytes: 0,
  })
  const vaults = createVaults({
    ...basics,
    store: stores.vaults,
    secretBox: box,
    connect: connector.connect,
    send: () => Promise.reject(new Error('nothing is sent in these tests')),
    md5Hex: () => '',
  })
  await vaults.add({ name: 'local', place: { kind: 'disk' } }, undefined)
  const faults: unknown[] = []
  const woken: string[] = []
  const cancelled: string[] = []
  const disconnected: string[] = []
  const { alerts, alertChannels } = createAlerting({
    ...basics,
    database,
    box,
    webhookAllow: [],
    startedAt: clock.now(),
    fault: (error) => faults.push(error),
  })
  const say = (_message: string, fields?: Readonly<Record<string, unknown>>) => {
    if (fields?.error !== undefined) faults.push(fields.error)
  }
  const retention = createRetention({
    ...basics,
    snapshots: stores.snapshots,
    fleet: stores.fleet,
    policies: stores.policies,
    openVault: vaults.open,
  })
  const openVault = vaults.open
  const attempts = createAttempts({ ...basics, ...stores, openVault })
  const reconcile = createReconcile({ ...basics, ...stores, openVault, attempts })
  const { app, apiTokens, idempotency, jobListing, prunes } = createPeople({
    ...basics,
    stores,
    box,
    vaults,
    retention,
    reconcile,
    alerts,
    alertChannels,
    connections: {
      close: async (host) => {
        disconnected.push(host)
      },
    },
    dispatch: {
      cancelled: async ({ id }) => {
        cancelled.push(id)
      },
      policyApplied: async () => {},
    },
    wake: async (host) => {
      woken.push(host)
    },
    publicUrl,
    disk: { folder: connector.pathOf, user: 'holdfast' },
    ready: async () => true,
    log: { info: say, warn: say, error: say },
    version: '0.0.0',
  })

  async function token(role: Role, expiresInDays?: number): Promise<string> {
    return (await apiTokens.create({ name: `the ${role}`, role, expiresInDays }, undefined)).token
  }

  /** One request, JSON both ways; `token` undefined: none is sent. */
  async function call(
    method: string,
    path: string,
    wanted: {
      token?: string | undefined
      body?: unknown
      key?: string
      address?: string
    } = {},
  ): Promise<Answer> {
    const response = await app.request(
      path,
      {
        method,
        headers: {
          ...(wanted.token === undefined ? {} : { authorization: `Bearer ${wanted.token}` }),
          ...(wanted.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(wanted.key === undefined ? {} : { 'idempotency-key': wanted.key }),
        },
        ...(wanted.body === undefined ? {} : { body: JSON.stringify(wanted.body) }),
      },
      { address: wanted.address ?? '192.0.2.1' },
    )
    const text = await response.text()
    const isJson = /\/(?:problem\+)?json/.test(response.headers.get('content-type') ?? '')
    const { status, headers } = response
    return { status, headers, text, body: isJson ? JSON.parse(text) : undefined }
  }

  return {
    folder,
    database,
    clock,
    random,
    stores,
    app,
    apiTokens,
    idempotency,
    jobListing,
    prunes,
    retention,
    reconcile,
    vaults,
    faults,
    woken,
    cancelled,
    disconnected,
    token,
    call,
    host: (
      name: string,
      volumes: readonly (string | SeededVolume)[],
      more: { directories?: readonly string[]; recovery?: string | null; lastSeen?: number } = {},
    ) => seedHost({ database, clock, random, stores }, name, volumes, more),
    snapshot: (host: SeededHost, source: string, at: number) =>
      seedSnapshot({ database, clock, random }, host, source, at),
    async close() {
      database.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Whoever asks the core directly, as an identity. */
export function identity(role: Role): Identity {
  return { token: `0000000000000${role.length}`, name: role, role }
}

interface Seeds {
  readonly database: Database
  readonly clock: MemoryClock
  readonly random: ReturnType<typeof createSeededRandom>
}

async function seedHost(
  { database, clock, random, stores }: Seeds & { stores: Stores },
  name: string,
  volumes: readonly (string | SeededVolume)[],
  more: { directories?: readonly string[]; recovery?: string | null; lastSeen?: number },
): Promise<SeededHost> {
  const id = newId(clock, random)
  const repository = newId(clock, random)
  const now = clock.now()
  const vault = (await stores.enrolmentTokens.findVault(undefined))!.id
  const recovery = more.recovery === undefined ? RECOVERY : more.recovery
  const source = (kind: string, named: string, details: object) => ({
    sql: `INSERT INTO sources (host, source, kind, name, details_json, first_seen, last_seen) VALUES (?, ?, ?, ?, ?, ?, ?)`,
    args: [id, `${kind}:${named}`, kind, named, JSON.stringify(details), now, now],
  })
  await database.write([
    {
      sql: `INSERT INTO hosts (id, name, machine, public_key, recovery_recipient, recipient, version, enrolled_at, last_seen)
            VALUES (?, ?, ?, ?, ?, ?, '0.1.0', ?, ?)`,
      args: [
        id,
        name,
        `machine-${name}`,
        `key-${id}`,
        recovery,
        RECIPIENT,
        now,
        more.lastSeen ?? now,
      ],
    },
    {
      sql: `INSERT INTO repositories (id, host, vault, state, created_at) VALUES (?, ?, ?, 'ready', ?)`,
      args: [repository, id, vault, now],
    },
    ...volumes.map((volume) => {
      const one: SeededVolume = typeof volume === 'string' ? { name: volume } : volume
      const details = { driver: 'local', labels: {}, anonymous: false, usedBy: [], ...one }
      return source('volume', one.name, details)
    }),
    ...(more.directories ?? []).map((path) => source('directory', path, {})),
  ])
  return { id, name, repository }
}

async function seedSnapshot(
  { database, clock, random }: Seeds,
  host: SeededHost,
  source: string,
  at: number,
): Promise<string> {
  const hex = (length: number) => Buffer.from(random.bytes(length)).toString('hex')
  const id = hex(32)
  const receipt = {
    volume: {
      driver: 'local',
      labels: { 'com.docker.compose.project': 'shop', tier: 'gold' },
      sealedOptions: 'AAAA',
    },
  }
  await database.write([
    {
      sql: `INSERT INTO snapshots (id, repository, host, source, job, tree, time, received_at, parent, counts_json, receipt_json, signature, outcome, policy_name)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, 'succeeded', NULL)`,
      args: [
        id,
        host.repository,
        host.id,
        source,
        newId(clock, random),
        hex(32),
        at,
        at + 1_000,
        JSON.stringify({ files: 3, bytes: 12, milliseconds: 5 }),
        JSON.stringify(receipt),
        hex(64),
      ],
    },
  ])
  return id
}
