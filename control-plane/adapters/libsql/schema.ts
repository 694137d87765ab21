// The tables of `migrations.ts` as types for reading. `schema.test.ts` compares both on a real file.
// Long because: it is one page on purpose, so that the whole schema is seen at once.
import { integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core'
import type { Role } from '../../../shared/access/role.ts'
import type { Alert, AlertType, Level } from '../../../shared/alert/alert.ts'
import type { Inventory, InventoryVolume } from '../../../shared/backup/inventory.ts'
import type {
  JobCounts,
  JobKind,
  JobParameters,
  JobState,
  Progress,
} from '../../../shared/backup/job.ts'
import type { Outcome, Reason } from '../../../shared/backup/outcome.ts'
import type { Receipt } from '../../../shared/backup/receipt.ts'
import type { Retirement } from '../../../shared/backup/retirement.ts'
import type { ErrorCode } from '../../../shared/errors.ts'
import type { PolicyDocument } from '../../../shared/policy/document.ts'
import type { Hello } from '../../../shared/protocol/hello.ts'
import type { ProbeFinding, VaultCapabilities, VaultPlace } from '../../../shared/vault/vault.ts'
import type { SnapshotState } from '../../ports/store/catalogue.ts'
import type { InitialFiles } from '../../ports/store/repositories.ts'

/** Integer milliseconds UTC. */
const instant = (name: string) => integer(name)
const json = <T>(name: string) => text(name, { mode: 'json' }).$type<T>()

export const audit = sqliteTable('audit', {
  seq: integer('seq').primaryKey(),
  id: text('id').notNull().unique(),
  at: instant('at').notNull(),
  actor: text('actor').notNull(),
  action: text('action').notNull(),
  target: text('target').notNull(),
  outcome: text('outcome').$type<'ok' | 'refused' | 'failed'>().notNull(),
  host: text('host'),
  job: text('job'),
  /** The event's canonical JSON: kept as text, because these bytes are what will be hashed. */
  entry: text('entry').notNull(),
})

export const apiTokens = sqliteTable('api_tokens', {
  id: text('id').primaryKey(),
  name: text('name').notNull(),
  role: text('role').$type<Role>().notNull(),
  hash: text('hash').notNull(),
  createdAt: instant('created_at').notNull(),
  expiresAt: instant('expires_at'),
  lastUsedAt: instant('last_used_at'),
  revokedAt: instant('revoked_at'),
})

export const idempotency = sqliteTable(
  'idempotency',
  {
    token: text('token').notNull(),
    key: text('key').notNull(),
    requestHash: text('request_hash').notNull(),
    status: integer('status'),
    answer: text('answer'),
    at: instant('at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.token, table.key] })],
)

export const vaults = sqliteTable('vaults', {
  id: text('id').primaryKey(),
  name: text('name').notNull().unique(),
  place: json<VaultPlace>('place_json').notNull(),
  credentialsSealed: text('credentials_sealed'),
  isDefault: integer('is_default', { mode: 'boolean' }).notNull(),
  capabilities: json<VaultCapabilities>('capabilities_json'),
  findings: json<ProbeFinding[]>('findings_json'),
  probedAt: instant('probed_at'),
  clockSkewMs: integer('clock_skew_ms'),
  clockCheckedAt: instant('clock_checked_at'),
  createdAt: instant('created_at').notNull(),
  retentionFloorDays: integer('retention_floor_days').notNull().default(7),
})

export const enrolmentTokens = sqliteTable('enrolment_tokens', {
  id: text('id').primaryKey(),
  hash: text('hash').notNull(),
  vault: text('vault').notNull(),
  createdBy: text('created_by').notNull(),
  createdAt: instant('created_at').notNull(),
  expiresAt: instant('expires_at').notNull(),
  usedAt: instant('used_at'),
  host: text('host'),
})

export const hosts = sqliteTable('hosts', {
  id: text('id').primaryKey(),
  name: text('name').notNull().unique(),
  machine: text('machine').notNull(),
  publicKey: text('public_key').notNull().unique(),
  recoveryRecipient: text('recovery_recipient'),
  recipient: text('recipient').notNull(),
  version: text('version').notNull(),
  protocol: integer('protocol'),
  enrolledAt: instant('enrolled_at').notNull(),
  lastSeen: instant('last_seen'),
  silentSince: instant('silent_since'),
  boot: text('boot'),
  inventory: json<Inventory>('inventory_json'),
  inventoryAt: instant('inventory_at'),
  removedAt: instant('removed_at'),
  freeStateBytes: integer('free_state_bytes'),
  duplicateAt: instant('duplicate_at'),
})

export const challenges = sqliteTable('challenges', {
  nonce: text('nonce').primaryKey(),
  host: text('host').notNull(),
  boot: text('boot').notNull(),
  machine: text('machine').notNull(),
  time: text('time').notNull(),
  hello: json<Hello>('hello_json').notNull(),
  expiresAt: instant('expires_at').notNull(),
})

export const agentSessions = sqliteTable('agent_sessions', {
  id: text('id').primaryKey(),
  host: text('host').notNull(),
  boot: text('boot').notNull(),
  machine: text('machine').notNull(),
  hash: text('hash').notNull(),
  createdAt: instant('created_at').notNull(),
  expiresAt: instant('expires_at').notNull(),
})

export const agentEvents = sqliteTable(
  'agent_events',
  {
    host: text('host').notNull(),
    boot: text('boot').notNull(),
    seq: integer('seq').notNull(),
    at: instant('at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.host, table.boot] })],
)

/** What the inventory says of one source. */
export type SourceDetails = Partial<InventoryVolume> & { usedBy?: string[] }

export const sources = sqliteTable(
  'sources',
  {
    host: text('host').notNull(),
    source: text('source').notNull(),
    kind: text('kind').$type<'volume' | 'directory'>().notNull(),
    name: text('name').notNull(),
    details: json<SourceDetails>('details_json').notNull(),
    firstSeen: instant('first_seen').notNull(),
    lastSeen: instant('last_seen').notNull(),
    goneAt: instant('gone_at'),
    fence: integer('fence').notNull().default(0),
  },
  (table) => [primaryKey({ columns: [table.host, table.source] })],
)

export const repositories = sqliteTable('repositories', {
  id: text('id').primaryKey(),
  host: text('host').notNull().unique(),
  vault: text('vault').notNull(),
  state: text('state').$type<'absent' | 'initialising' | 'ready'>().notNull(),
  epoch: integer('epoch').notNull().default(0),
  fence: integer('fence').notNull().default(0),
  configSha256: text('config_sha256'),
  receipts: integer('receipts').notNull().default(0),
  createdAt: instant('created_at').notNull(),
  readyAt: instant('ready_at'),
  initial: json<InitialFiles>('initial_json'),
  judgedAt: instant('judged_at'),
  reconciledAt: instant('reconciled_at'),
  unknownSnapshots: integer('unknown_snapshots').notNull().default(0),
  pruneAt: instant('prune_at'),
  prunedAt: instant('pruned_at'),
  /** Where it lies, if it was there before us. */
  place: text('place'),
})

export const escrows = sqliteTable(
  'escrows',
  {
    repository: text('repository').notNull(),
    n: integer('n').notNull(),
    recipient: text('recipient').notNull(),
    sealed: text('sealed').notNull(),
    at: instant('at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.repository, table.n] })],
)

export const policies = sqliteTable('policies', {
  id: text('id').primaryKey(),
  name: text('name').notNull().unique(),
  document: json<PolicyDocument>('document_json').notNull(),
  version: integer('version').notNull(),
  createdAt: instant('created_at').notNull(),
  updatedAt: instant('updated_at').notNull(),
  nextAt: instant('next_at'),
  deletedAt: instant('deleted_at'),
})

export const batches = sqliteTable('batches', {
  id: text('id').primaryKey(),
  host: text('host').notNull(),
  repository: text('repository').notNull(),
  kind: text('kind').$type<JobKind>().notNull(),
  createdAt: instant('created_at').notNull(),
  acceptedAt: instant('accepted_at'),
  endedAt: instant('ended_at'),
  urlsUntil: instant('urls_until').notNull().default(0),
})

export const locks = sqliteTable(
  'locks',
  {
    repository: text('repository').notNull(),
    id: text('id').notNull(),
    batch: text('batch').notNull(),
    at: instant('at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.repository, table.id] })],
)

export const jobs = sqliteTable('jobs', {
  id: text('id').primaryKey(),
  kind: text('kind').$type<JobKind>().notNull(),
  host: text('host').notNull(),
  repository: text('repository').notNull(),
  source: text('source'),
  policy: text('policy'),
  policyName: text('policy_name'),
  slotAt: instant('slot_at'),
  state: text('state').$type<JobState>().notNull(),
  attempt: integer('attempt').notNull().default(0),
  fence: integer('fence').notNull().default(0),
  batch: text('batch'),
  leaseUntil: instant('lease_until'),
  notBefore: instant('not_before').notNull().default(0),
  cancelAt: instant('cancel_at'),
  parameters: json<JobParameters>('parameters_json').notNull(),
  progress: json<Progress>('progress_json'),
  outcome: text('outcome').$type<Outcome>(),
  reason: text('reason').$type<Reason>(),
  message: text('message'),
  counts: json<JobCounts>('counts_json'),
  report: text('report'),
  snapshot: text('snapshot'),
  requestedBy: text('requested_by').notNull(),
  createdAt: instant('created_at').notNull(),
  startedAt: instant('started_at'),
  finishedAt: instant('finished_at'),
})

export const grants = sqliteTable(
  'grants',
  {
    batch: text('batch').notNull(),
    method: text('method').$type<'PUT' | 'GET'>().notNull(),
    object: text('object').notNull(),
    job: text('job').notNull(),
    attempt: integer('attempt').notNull(),
    what: text('what').$type<'pack' | 'index'>().notNull(),
    type: text('type').$type<'data' | 'tree'>(),
    bytes: integer('bytes').notNull(),
    expiresAt: instant('expires_at').notNull(),
    state: text('state').$type<'outstanding' | 'used'>().notNull(),
  },
  (table) => [primaryKey({ columns: [table.batch, table.method, table.object] })],
)

export const commits = sqliteTable(
  'commits',
  {
    job: text('job').notNull(),
    attempt: integer('attempt').notNull(),
    fence: integer('fence').notNull(),
    batch: text('batch').notNull(),
    repository: text('repository').notNull(),
    state: text('state').$type<'checking' | 'writing' | 'accepted' | 'refused'>().notNull(),
    listingCursor: text('listing_cursor'),
    code: text('code').$type<ErrorCode>(),
    message: text('message'),
    snapshot: text('snapshot').notNull(),
    bodySha256: text('body_sha256').notNull(),
    receipt: json<Receipt>('receipt_json'),
    signature: text('signature').notNull(),
    bytes: text('bytes'),
    sequence: integer('sequence'),
    at: instant('at').notNull(),
    checkedAt: instant('checked_at'),
  },
  (table) => [primaryKey({ columns: [table.job, table.attempt] })],
)

export const snapshots = sqliteTable('snapshots', {
  id: text('id').primaryKey(),
  repository: text('repository').notNull(),
  host: text('host').notNull(),
  source: text('source').notNull(),
  job: text('job'),
  tree: text('tree').notNull(),
  time: instant('time').notNull(),
  receivedAt: instant('received_at').notNull(),
  parent: text('parent'),
  counts: json<JobCounts>('counts_json'),
  receipt: json<Receipt>('receipt_json'),
  signature: text('signature'),
  outcome: text('outcome').$type<Outcome>(),
  policyName: text('policy_name'),
  state: text('state').$type<SnapshotState>().notNull().default('present'),
  stateAt: instant('state_at'),
  isForeign: integer('is_foreign', { mode: 'boolean' }).notNull().default(false),
  claimedAt: instant('claimed_at'),
  original: text('original'),
  hostname: text('hostname'),
  tags: json<string[]>('tags_json'),
  heldAt: instant('held_at'),
  heldBy: text('held_by'),
  heldWhy: text('held_why'),
})

export const proposals = sqliteTable(
  'proposals',
  {
    job: text('job').notNull(),
    attempt: integer('attempt').notNull(),
    unreferencedBytes: integer('unreferenced_bytes').notNull(),
    repackBytes: integer('repack_bytes').notNull(),
    packs: integer('packs').notNull(),
    ownBytes: integer('own_bytes').notNull(),
    decision: text('decision').$type<'go' | 'wait'>().notNull(),
    at: instant('at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.job, table.attempt] })],
)

export const retirements = sqliteTable(
  'retirements',
  {
    job: text('job').notNull(),
    attempt: integer('attempt').notNull(),
    fence: integer('fence').notNull(),
    batch: text('batch').notNull(),
    repository: text('repository').notNull(),
    state: text('state').$type<'checking' | 'removing' | 'accepted' | 'refused'>().notNull(),
    removed: integer('removed').notNull().default(0),
    code: text('code').$type<ErrorCode>(),
    message: text('message'),
    bodySha256: text('body_sha256').notNull(),
    retirement: json<Retirement>('retirement_json'),
    signature: text('signature').notNull(),
    at: instant('at').notNull(),
    endedAt: instant('ended_at'),
  },
  (table) => [primaryKey({ columns: [table.job, table.attempt] })],
)

export const condemned = sqliteTable(
  'condemned',
  {
    repository: text('repository').notNull(),
    id: text('id').notNull(),
    bytes: integer('bytes').notNull(),
    state: text('state').$type<'condemned' | 'deleting' | 'deleted'>().notNull(),
    heirs: json<string[]>('heirs_json').notNull(),
    job: text('job').notNull(),
    at: instant('at').notNull(),
    confirmedAt: instant('confirmed_at'),
    confirmedBy: text('confirmed_by'),
    deletedAt: instant('deleted_at'),
  },
  (table) => [primaryKey({ columns: [table.repository, table.id] })],
)

export const objects = sqliteTable(
  'objects',
  {
    repository: text('repository').notNull(),
    id: text('id').notNull(),
    what: text('what').$type<'pack' | 'index'>().notNull(),
    type: text('type').$type<'data' | 'tree'>(),
    bytes: integer('bytes').notNull(),
    job: text('job').notNull(),
    storedAt: instant('stored_at').notNull(),
    checkedAt: instant('checked_at'),
  },
  (table) => [primaryKey({ columns: [table.repository, table.id] })],
)

export const pages = sqliteTable(
  'pages',
  {
    job: text('job').notNull(),
    page: integer('page').notNull(),
    last: integer('last', { mode: 'boolean' }).notNull(),
    bytes: text('bytes').notNull(),
    at: instant('at').notNull(),
  },
  (table) => [primaryKey({ columns: [table.job, table.page] })],
)

export const queue = sqliteTable('queue', {
  id: text('id').primaryKey(),
  topic: text('topic').notNull(),
  body: text('body').notNull(),
  attempt: integer('attempt').notNull().default(0),
  visibleAt: instant('visible_at').notNull(),
  createdAt: instant('created_at').notNull(),
})

export const alertChannels = sqliteTable('alert_channels', {
  id: text('id').primaryKey(),
  name: text('name').notNull().unique(),
  kind: text('kind').notNull(),
  settings: json<unknown>('settings_json').notNull(),
  secretSealed: text('secret_sealed'),
  minimumLevel: text('minimum_level').$type<Level>().notNull(),
  createdAt: instant('created_at').notNull(),
  disabledAt: instant('disabled_at'),
  disabledWhy: text('disabled_why'),
})

export const alerts = sqliteTable('alerts', {
  id: text('id').primaryKey(),
  type: text('type').$type<AlertType>().notNull(),
  level: text('level').$type<Level>().notNull(),
  host: text('host'),
  job: text('job'),
  at: instant('at').notNull(),
  alert: json<Alert>('alert_json').notNull(),
})

export const deliveries = sqliteTable('deliveries', {
  id: text('id').primaryKey(),
  alert: text('alert').notNull(),
  channel: text('channel').notNull(),
  channelName: text('channel_name').notNull(),
  state: text('state').$type<'pending' | 'delivered' | 'failed'>().notNull(),
  attempts: integer('attempts').notNull(),
  nextAt: instant('next_at'),
  lastError: text('last_error'),
  deliveredAt: instant('delivered_at'),
  createdAt: instant('created_at').notNull(),
})

export const facts = sqliteTable('facts', {
  name: text('name').primaryKey(),
  value: text('value').notNull(),
})
