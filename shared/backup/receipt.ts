// What the agent says it stored, signed with the agent's key.
import * as z from 'zod'
import { utf8 } from '../bytes.ts'
import { canonicalJson, type Json } from '../canonical-json.ts'
import { id, sha256 } from '../ids.ts'
import { jobCounts, volumeDefinition } from './job.ts'
import { sourceReference } from './source.ts'

/** Packs a receipt may name: a repository of 8 TB at 16 MiB a pack. */
const MAX_PACKS = 500_000

export const storedPack = z.strictObject({
  id: sha256,
  bytes: z.int().min(73),
  type: z.enum(['data', 'tree']),
})
export const storedIndex = z.strictObject({ id: sha256, bytes: z.int().min(33) })

export const receipt = z.strictObject({
  v: z.literal(1),
  host: id,
  repository: id,
  job: id,
  attempt: z.int().min(1),
  fence: z.int().min(1),
  /** The repository's epoch in which the index listing was read. */
  epoch: z.int().min(0),
  snapshot: sha256,
  /** Bytes of the sealed snapshot. */
  snapshotBytes: z.int().min(33),
  tree: sha256,
  source: sourceReference,
  /** The snapshot's own time. */
  time: z.iso.datetime(),
  parent: sha256.nullable(),
  /** Everything this batch stored so far that the snapshot may need. */
  packs: z.array(storedPack).max(MAX_PACKS),
  indexes: z.array(storedIndex).max(10_000),
  /** Packs the snapshot refers to: those of `base` (its parent's receipt) and these. A superset is allowed. */
  refers: z.strictObject({ base: sha256.nullable(), packs: z.array(sha256).max(MAX_PACKS) }),
  counts: jobCounts,
  volume: volumeDefinition.optional(),
})
export type Receipt = z.infer<typeof receipt>

/** The bytes that are signed: a fixed first line, so that no other message can pass for a receipt. */
export function receiptBytes(value: Receipt): Uint8Array {
  return utf8(`holdfast-receipt/1\n${canonicalJson(value as unknown as Json)}`)
}
