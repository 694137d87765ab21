// What a prune did and asks for, signed with the agent's key. The host alone can read indexes, so it proposes; the
// control plane alone deletes, later, and only what a fresh prune named again.
import * as z from 'zod'
import { utf8 } from '../bytes.ts'
import { canonicalJson, type Json } from '../canonical-json.ts'
import { id, sha256 } from '../ids.ts'
import { storedIndex, storedPack } from './receipt.ts'

/** Packs one retirement may name: a repository of 8 TB at 16 MiB a pack. */
const MAX_PACKS = 500_000
/** Snapshots a repository may hold: 20 sources, hourly for a year. */
const MAX_SNAPSHOTS = 200_000
/** Packs one repacked pack may have been spread over. */
const MAX_HEIRS = 64

const ownedPack = z.strictObject({ id: sha256, bytes: z.int().min(0) })

export const retirement = z.strictObject({
  v: z.literal(1),
  host: id,
  repository: id,
  job: id,
  attempt: z.int().min(1),
  fence: z.int().min(1),
  /** The repository's epoch in which the index was listed. */
  epoch: z.int().min(0),
  /**
   * Snapshots whose every tree this prune read to decide. A kept snapshot that is not named here is judged by the
   * packs its receipts name, which may be more than it needs: what it may need is not condemned without heirs.
   */
  walked: z.array(sha256).max(MAX_SNAPSHOTS).optional(),
  /** What this prune stored: packs with what was still needed of others, and the new index files. */
  added: z.strictObject({
    packs: z.array(storedPack).max(MAX_PACKS),
    indexes: z.array(storedIndex).max(10_000),
  }),
  /** Index files that the added ones replace: everything of them that is still needed is listed there. */
  replacedIndexes: z.array(sha256).max(100_000),
  /**
   * Packs that no index file lists any more once the replaced ones are gone. `heirs` are the packs that hold what
   * kept snapshots still need of it; empty where nothing does.
   */
  condemned: z
    .array(z.strictObject({ ...ownedPack.shape, heirs: z.array(sha256).max(MAX_HEIRS) }))
    .max(MAX_PACKS),
  /** Packs in the store that no index file lists: leftovers of broken runs. The control plane judges their age. */
  unindexed: z.array(ownedPack).max(MAX_PACKS),
  /** Packs condemned by an earlier prune that this one found unreferenced again: they may be deleted when due. */
  confirmed: z.array(sha256).max(MAX_PACKS),
})
export type Retirement = z.infer<typeof retirement>

/** The bytes that are signed: a fixed first line, so that no other message can pass for a retirement. */
export function retirementBytes(value: Retirement): Uint8Array {
  return utf8(`holdfast-retirement/1\n${canonicalJson(value as unknown as Json)}`)
}
