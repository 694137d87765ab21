// Frames the control plane sends to an agent, over the socket or as answers to a long poll.
import * as z from 'zod'
import { jobParameters } from '../backup/job.ts'
import { limits } from '../backup/limits.ts'
import { id, plainName } from '../ids.ts'
import { challenge, reject, welcome } from './hello.ts'

/** One job of a batch, with everything the mover needs. */
export const assignedJob = z.strictObject({
  id,
  attempt: z.int().min(1),
  fence: z.int().min(1),
  parameters: jobParameters,
})
export type AssignedJob = z.infer<typeof assignedJob>

/** Jobs a mover carries out together, decision of the control plane. */
export const MAX_BATCH_JOBS = 100

/**
 * Carry out a batch. Sent again after each reconnect until the agent has asked for its lease;
 * an agent that knows the batch already ignores it.
 */
export const run = z.strictObject({
  type: z.literal('run'),
  batch: id,
  repository: z.strictObject({
    id,
    /** Name of the host the snapshots carry. */
    hostname: plainName,
    epoch: z.int().min(0),
    ready: z.boolean(),
    /** True when the repository belongs to another host (restore only). */
    foreign: z.boolean(),
    /** Wishes for PUT grants must name the MD5 of the bytes. */
    md5: z.boolean().optional(),
  }),
  leaseSeconds: z.int().min(1),
  /** The strictest of its jobs' policies. Since version 2. */
  limits: limits.optional(),
  jobs: z.array(assignedJob).min(1).max(MAX_BATCH_JOBS),
})
export type Run = z.infer<typeof run>

/** Stop these jobs; the mover answers with outcome `cancelled`. */
export const cancel = z.strictObject({
  type: z.literal('cancel'),
  batch: id,
  jobs: z.array(id).min(1).max(MAX_BATCH_JOBS),
})
export type Cancel = z.infer<typeof cancel>

/** From now on these limits hold for a batch under way, in place of those it had. Since version 2. */
export const changeLimits = z.strictObject({ type: z.literal('limits'), batch: id, limits })
export type ChangeLimits = z.infer<typeof changeLimits>

/** A new session token, before the old one lapses. */
export const session = z.strictObject({
  type: z.literal('session'),
  session: z.string().min(16).max(256),
  sessionSeconds: z.int().min(1),
})

/** Send the inventory now, whole. */
export const refresh = z.strictObject({ type: z.literal('refresh') })

export const fromControl = z.discriminatedUnion('type', [
  challenge,
  welcome,
  reject,
  run,
  cancel,
  changeLimits,
  session,
  refresh,
])
export type FromControl = z.infer<typeof fromControl>
