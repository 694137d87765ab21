// The hatch between supervisor and mover: one JSON object per line on the mover's stdin and stdout.
// The mover holds no token: whatever it needs from the control plane it asks the supervisor for.
import * as z from 'zod'
import { ageRecipient, jobCounts, progress } from '../../shared/backup/job.ts'
import { limits } from '../../shared/backup/limits.ts'
import { outcome, reason } from '../../shared/backup/outcome.ts'
import { id } from '../../shared/ids.ts'
import {
  commitAnswer,
  commitRequest,
  grantsAnswer,
  grantsRequest,
  initialiseRequest,
  listingAnswer,
  listingRequest,
  lockAnswer,
  lockRequest,
  pageRequest,
  proposalAnswer,
  proposalRequest,
  readAnswer,
  readRequest,
  reconcileRequest,
  retireAnswer,
  retireRequest,
  storedAnswer,
  storedRequest,
  unlockRequest,
} from '../../shared/protocol/calls.ts'
import { assignedJob, run } from '../../shared/protocol/from-control.ts'

/** Longest line, in UTF-16 code units: a receipt of a large repository. */
export const MAX_LINE = 64 * 2 ** 20

const nothing = z.strictObject({})

/** Calls a mover may ask for, by name: the HTTPS calls of the protocol, minus identity. */
export const asks = {
  grants: { request: grantsRequest, answer: grantsAnswer },
  stored: { request: storedRequest, answer: storedAnswer },
  listing: { request: listingRequest, answer: listingAnswer },
  read: { request: readRequest, answer: readAnswer },
  lock: { request: lockRequest, answer: lockAnswer },
  unlock: { request: unlockRequest, answer: nothing },
  initialise: { request: initialiseRequest, answer: nothing },
  /** The supervisor signs the receipt and repeats the call until the answer is final. */
  commit: { request: commitRequest.omit({ signature: true }), answer: commitAnswer },
  page: { request: pageRequest, answer: nothing },
  proposal: { request: proposalRequest, answer: proposalAnswer },
  /** The supervisor signs the retirement and repeats the call until the answer is final. */
  retire: { request: retireRequest.omit({ signature: true }), answer: retireAnswer },
  reconcile: { request: reconcileRequest, answer: nothing },
  /** May the new tree take the place of the live one now? The supervisor answers by itself: it sees the containers. */
  exchange: { request: unlockRequest.omit({ id: true }), answer: nothing },
} as const
export type AskName = keyof typeof asks
export type AskRequest<N extends AskName> = z.infer<(typeof asks)[N]['request']>
export type AskAnswer<N extends AskName> = z.infer<(typeof asks)[N]['answer']>

/** What the supervisor prepared for one job: where to read, or where to write. */
export const preparedJob = z.strictObject({
  job: id,
  /** Absolute path of the source's root, or of the (empty or resumable) target directory. */
  path: z.string().max(4_096).optional(),
  /** Added to ids on disk to get the ids a container sees (user namespaces); 0 without. */
  idShift: z.int(),
  /** A password of the repository that is taken over. */
  adoptPassword: z.string().min(1).optional(),
  /** The mountpoint to exchange with, for an in-place restore. */
  exchangeWith: z.string().max(4_096).optional(),
  /** Volume definition for the receipt; options still in the clear, sealed by the mover. */
  volume: z
    .strictObject({
      driver: z.string(),
      labels: z.record(z.string(), z.string()),
      options: z.record(z.string(), z.string()),
    })
    .optional(),
})
export type PreparedJob = z.infer<typeof preparedJob>

/** First line to the mover. Holds secrets: only ever written to its stdin. */
export const start = z.strictObject({
  type: z.literal('start'),
  batch: id,
  host: id,
  repository: run.shape.repository,
  jobs: z.array(assignedJob),
  prepared: z.array(preparedJob),
  /**
   * Repository password: the host's own (made by the supervisor before `init`), or the opened recovery
   * password of a foreign repository.
   */
  password: z.string().min(1),
  /**
   * The recovery recipient pinned on the host. The recovery password itself is made in the mover (init),
   * sealed to it and forgotten. Without it there is no `init` and no backup.
   */
  recoveryRecipient: ageRecipient.optional(),
  /** The host's own age recipient. */
  recipient: ageRecipient,
  paths: z.strictObject({
    /** Sealed cache of index files and tree packs of this repository. */
    cache: z.string(),
    /** Scratch space of this batch. */
    work: z.string(),
  }),
  /** What the batch may use of the host. */
  limits: limits.optional(),
  /** How uploads leave the host. */
  network: z.strictObject({
    proxy: z.string().optional(),
    noProxy: z.string().optional(),
    caFile: z.string().optional(),
  }),
})
export type Start = z.infer<typeof start>

export const toMover = z.discriminatedUnion('type', [
  start,
  z.strictObject({ type: z.literal('answer'), ask: z.int(), body: z.unknown() }),
  z.strictObject({
    type: z.literal('refusal'),
    ask: z.int(),
    code: z.string(),
    message: z.string(),
    /** True: the control plane could not be reached; wait and ask again. */
    retryable: z.boolean(),
  }),
  z.strictObject({ type: z.literal('cancel'), jobs: z.array(id) }),
  /** These limits hold from now on, in place of those it had. */
  z.strictObject({ type: z.literal('limits'), limits }),
  /** The lease ended: start no upload; or it is back: go on. */
  z.strictObject({ type: z.literal('lease'), held: z.boolean() }),
])
export type ToMover = z.infer<typeof toMover>

export const fromMover = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('ask'),
    ask: z.int(),
    name: z.enum(Object.keys(asks) as [AskName, ...AskName[]]),
    body: z.unknown(),
  }),
  z.strictObject({ type: z.literal('progress'), job: id, progress }),
  /** The source is read: what was paused for it may go on. */
  z.strictObject({ type: z.literal('released'), job: id }),
  z.strictObject({
    type: z.literal('done'),
    job: id,
    outcome: outcome.exclude(['missed', 'lost']),
    reason,
    message: z.string().max(1_000).optional(),
    counts: jobCounts.optional(),
    report: z.string().optional(),
  }),
  /** A line for the supervisor's log: a constant sentence and fields that hold no names and no secrets. */
  z.strictObject({
    type: z.literal('log'),
    level: z.enum(['info', 'warn', 'error']),
    message: z.string().max(500),
    fields: z.record(z.string(), z.union([z.string().max(500), z.number(), z.boolean()])),
  }),
])
export type FromMover = z.infer<typeof fromMover>
