// What an agent asks over HTTPS under `/agent/v1/`, request and answer of each call.
// Every call but enrolment carries `Authorization: Bearer <session>`; all are idempotent.
import * as z from 'zod'
import { inventory } from '../backup/inventory.ts'
import { ageRecipient, jobCounts, progress } from '../backup/job.ts'
import { outcome, reason } from '../backup/outcome.ts'
import { receipt } from '../backup/receipt.ts'
import { retirement } from '../backup/retirement.ts'
import { base64Of, id, plainName, sha256 } from '../ids.ts'

/** Largest small object (config, key file, snapshot, lock), in bytes. */
export const MAX_SMALL_OBJECT = 64 * 1_024
/** Largest key file, in bytes; and how many a repository may have (stock restic gives up at more than 20). */
export const MAX_KEY_FILE = 8 * 1_024
export const MAX_KEY_FILES = 8
/** Grants in one request, and outstanding ones of one mover. */
export const MAX_GRANTS_PER_REQUEST = 32
export const MAX_OUTSTANDING_GRANTS = 64
/** Bytes of all outstanding PUT grants of one mover; one larger object alone is allowed. */
export const MAX_OUTSTANDING_BYTES = 2 ** 30
/** Smallest legal pack and index file, in bytes: nothing smaller is ever signed. */
export const MIN_PACK_BYTES = 73
export const MIN_INDEX_BYTES = 33
/** Largest object that is signed: a pack's offsets are 32 bits wide. */
export const MAX_PACK_BYTES = 2 ** 32 - 1
/** Life of a signed URL, in seconds. */
export const GRANT_SECONDS = 900
/** With less life than this left, in seconds, an attempt asks for a fresh grant. */
export const GRANT_MARGIN_SECONDS = 120

/** Which attempt of which job speaks. */
const attemptOf = { job: id, attempt: z.int().min(1), fence: z.int().min(1) }

export const enrolRequest = z.strictObject({
  /** `hf_enroll_…`: works once, for ten minutes. */
  token: z.string().min(16).max(256),
  name: plainName,
  machine: z.string().min(1).max(128),
  /** Ed25519 public key, 64 hex digits. */
  publicKey: z.string().regex(/^[0-9a-f]{64}$/),
  /** Ed25519 over `enrolBytes`: proof that the key is held. */
  signature: z.string().regex(/^[0-9a-f]{128}$/),
  /** The operator's recovery recipient, pinned on the host; without it the host does not back up. */
  recovery: ageRecipient.optional(),
  /** The host's own age recipient: what is meant for this host alone is sealed to it. */
  recipient: ageRecipient,
  version: z.string().max(64),
})
export type EnrolRequest = z.infer<typeof enrolRequest>
export const enrolAnswer = z.strictObject({ host: id, name: plainName, repository: id })

/** What the agent signs when it enrols. The token itself never enters a signature or a log. */
export function enrolText(request: { name: string; machine: string; publicKey: string }): string {
  return `holdfast-enroll/1\n${request.name}\n${request.machine}\n${request.publicKey}\n`
}

export const leaseRequest = z.strictObject({
  jobs: z
    .array(z.strictObject({ ...attemptOf, progress: progress.optional() }))
    .min(1)
    .max(100),
})
export const leaseAnswer = z.strictObject({
  leaseSeconds: z.int().min(0),
  /** Jobs a person cancelled. */
  cancel: z.array(id),
  /** Jobs this attempt no longer owns: stop, commit nothing. */
  gone: z.array(id),
})

/** One object an agent wants to write or read. Keys are derived by the control plane, never sent. */
export const wantedGrant = z.discriminatedUnion('method', [
  z.strictObject({
    method: z.literal('PUT'),
    what: z.enum(['pack', 'index']),
    id: sha256,
    bytes: z.int().min(MIN_INDEX_BYTES).max(MAX_PACK_BYTES),
    /** Where `run.repository.md5` says so: the store does not enforce SHA-256. 32 hex digits. */
    md5: z
      .string()
      .regex(/^[0-9a-f]{32}$/)
      .optional(),
    /** What a pack holds; tree packs may be read back when a cache is lost. */
    type: z.enum(['data', 'tree']).optional(),
  }),
  z.strictObject({ method: z.literal('GET'), what: z.enum(['pack', 'index']), id: sha256 }),
])
export type WantedGrant = z.infer<typeof wantedGrant>

export const grant = z.strictObject({
  method: z.enum(['PUT', 'GET']),
  id: sha256,
  /** Bearer secret: never logged. */
  url: z.string().max(8_192),
  /** Headers to send exactly as given (Content-Length among them for PUT). */
  headers: z.record(z.string(), z.string().max(1_024)),
  /** Life in seconds from the receipt of this answer, by the agent's monotonic clock. */
  seconds: z.int().min(1),
})
export type Grant = z.infer<typeof grant>

export const grantsRequest = z.strictObject({
  ...attemptOf,
  wanted: z.array(wantedGrant).min(1).max(MAX_GRANTS_PER_REQUEST),
  /** PUT grants that are used up: their objects are stored. */
  stored: z.array(sha256).max(MAX_OUTSTANDING_GRANTS),
})
export type GrantsRequest = z.infer<typeof grantsRequest>
export const grantsAnswer = z.strictObject({ grants: z.array(grant) })

/** Asked after a 412, and before resuming: what does the store hold under these names? */
export const storedRequest = z.strictObject({
  ...attemptOf,
  objects: z
    .array(z.strictObject({ what: z.enum(['pack', 'index']), id: sha256, bytes: z.int().min(1) }))
    .min(1)
    .max(500),
})
export const storedAnswer = z.strictObject({
  /** `stored`: same size; `exists`: another size, an alarm was raised; `absent`: ask for a grant. */
  objects: z.array(z.strictObject({ id: sha256, state: z.enum(['stored', 'exists', 'absent']) })),
})

export const listingRequest = z.strictObject({
  ...attemptOf,
  /**
   * `packs` are those the bucket holds now; `condemned` those an earlier prune condemned and nobody deleted yet;
   * `unknown-snapshots` those the bucket holds and the catalogue does not know.
   */
  what: z.enum(['index', 'keys', 'snapshots', 'packs', 'condemned', 'unknown-snapshots']),
  cursor: z.string().max(2_048).optional(),
})
export const listingAnswer = z.strictObject({
  objects: z.array(z.strictObject({ id: sha256, bytes: z.int().min(0) })).max(1_000),
  next: z.string().max(2_048).optional(),
  /** The repository's epoch when the listing began; a commit states it. */
  epoch: z.int().min(0),
})

/** Read one small object's sealed bytes. */
export const readRequest = z.strictObject({
  ...attemptOf,
  what: z.enum(['config', 'key', 'snapshot']),
  id: sha256.optional(),
})
export const readAnswer = z.strictObject({ bytes: base64Of(MAX_SMALL_OBJECT) })

export const lockRequest = z.strictObject({
  ...attemptOf,
  id: sha256,
  bytes: base64Of(MAX_SMALL_OBJECT),
  /** The lock this one refreshes: removed once the new one is stored. */
  replaces: sha256.optional(),
})
export const lockAnswer = z.strictObject({
  /** The sealed bytes of every other lock, for the mover to open and judge. */
  others: z.array(z.strictObject({ id: sha256, bytes: base64Of(MAX_SMALL_OBJECT) })).max(100),
})
export const unlockRequest = z.strictObject({ ...attemptOf, id: sha256 })

export const initialiseRequest = z.strictObject({
  ...attemptOf,
  config: base64Of(MAX_SMALL_OBJECT),
  keys: z.array(base64Of(MAX_KEY_FILE)).min(2).max(MAX_KEY_FILES),
  /** The recovery password, sealed with age to the recovery recipient. */
  escrow: z.strictObject({ recipient: ageRecipient, sealed: base64Of(8_192) }),
})

export const commitRequest = z.strictObject({
  receipt,
  /** Ed25519 over `receiptBytes`, 128 hex digits. */
  signature: z.string().regex(/^[0-9a-f]{128}$/),
  /** The sealed snapshot; its SHA-256 is the receipt's `snapshot`. */
  bytes: base64Of(MAX_SMALL_OBJECT),
})
export type CommitRequest = z.infer<typeof commitRequest>
export const commitAnswer = z.strictObject({
  /** `checking`: ask again; the claims are being compared with the store. */
  state: z.enum(['checking', 'accepted', 'refused']),
  code: z.string().max(64).optional(),
  message: z.string().max(1_000).optional(),
})

/** Before a prune writes anything: how much it would take away. */
export const proposalRequest = z.strictObject({
  ...attemptOf,
  /** Bytes of packs that nothing refers to, of packs that would be written anew, and of all packs. */
  unreferencedBytes: z.int().min(0),
  repackBytes: z.int().min(0),
  repositoryBytes: z.int().min(0),
  /** Packs the proposal would condemn. */
  packs: z.int().min(0),
})
export type ProposalRequest = z.infer<typeof proposalRequest>
export const proposalAnswer = z.strictObject({
  /** `wait`: so much needs a person's approval first; the job ends and another follows the approval. */
  decision: z.enum(['go', 'wait']),
  message: z.string().max(1_000).optional(),
})

/**
 * The end of a prune. The control plane checks that everything added is stored and that no pack a kept snapshot needs
 * is condemned without heirs, removes the replaced index files, then condemns the packs and raises the epoch.
 */
export const retireRequest = z.strictObject({
  retirement,
  /** Ed25519 over `retirementBytes`, 128 hex digits. */
  signature: z.string().regex(/^[0-9a-f]{128}$/),
})
export type RetireRequest = z.infer<typeof retireRequest>
export const retireAnswer = z.strictObject({
  /** `checking`: ask again; the claims are being compared with the store, or index files removed. */
  state: z.enum(['checking', 'accepted', 'refused']),
  code: z.string().max(64).optional(),
  message: z.string().max(1_000).optional(),
})

/** Snapshots the bucket holds and the catalogue does not know, read by the host: entered as foreign. */
export const reconcileRequest = z.strictObject({
  ...attemptOf,
  snapshots: z
    .array(
      z.strictObject({
        id: sha256,
        bytes: z.int().min(33),
        /** The snapshot's own time. */
        time: z.iso.datetime(),
        tree: sha256,
        hostname: z.string().max(255),
        paths: z.array(z.string().max(4_096)).max(1_000),
        tags: z.array(z.string().max(1_024)).max(100),
        parent: sha256.optional(),
        /** The snapshot this one is a changed copy of (a new tag, say). */
        original: sha256.optional(),
      }),
    )
    .max(1_000),
})
export type ReconcileRequest = z.infer<typeof reconcileRequest>

export const finishRequest = z.strictObject({
  ...attemptOf,
  outcome: outcome.exclude(['missed']),
  reason,
  /** One sentence for the operator: counts and hashes, no file names, no secrets. */
  message: z.string().max(1_000).optional(),
  counts: jobCounts.optional(),
  /** age ciphertext for the recovery recipient: names of the files concerned, fifty at most. */
  report: base64Of(262_144).optional(),
})
export type FinishRequest = z.infer<typeof finishRequest>

export const pageRequest = z.strictObject({
  ...attemptOf,
  /** 0, 1, 2, …; the same number again replaces nothing. */
  page: z.int().min(0).max(1_000_000),
  last: z.boolean(),
  /** age ciphertext for the person who asked; at most 1 MiB of plaintext. */
  bytes: base64Of(1_100_000),
})

/** Things that happen outside a job. At least once, in order, until acknowledged. */
export const agentEvent = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('alive'), freeStateBytes: z.int().min(0).optional() }),
  z.strictObject({ kind: z.literal('inventory'), inventory }),
  z.strictObject({
    kind: z.literal('notice'),
    code: z.enum([
      'state-disk-full',
      'containers-restarted',
      'restore-rolled-back',
      'docker-unreachable',
      'docker-back',
    ]),
    message: z.string().max(1_000),
  }),
])
export type AgentEvent = z.infer<typeof agentEvent>
export const eventsRequest = z.strictObject({
  boot: id,
  events: z
    .array(z.strictObject({ seq: z.int().min(1), at: z.iso.datetime(), event: agentEvent }))
    .min(1)
    .max(100),
})
export const eventsAnswer = z.strictObject({ acknowledged: z.int().min(0) })

/** Long poll: the frames of the socket over HTTPS, after three failed upgrades. */
export const pollRequest = z.strictObject({ boot: id, waitSeconds: z.int().min(0).max(50) })
export const pollAnswer = z.strictObject({ frames: z.array(z.unknown()).max(100) })
