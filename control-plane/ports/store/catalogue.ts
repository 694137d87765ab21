// Snapshots and repositories, for people. Written when a commit is accepted, by another store.

import type { JobCounts, VolumeDefinition } from '../../../shared/backup/job.ts'
import type { Outcome } from '../../../shared/backup/outcome.ts'
import type { Instant } from '../../../shared/clock.ts'
import type { VaultCapabilities, VaultPlace } from '../../../shared/vault/vault.ts'

/**
 * `forgetting`: its removal from the bucket is under way; `forgotten`: done; `vanished`: somebody else removed it.
 */
export type SnapshotState = 'present' | 'forgetting' | 'forgotten' | 'vanished'

export interface Snapshot {
  readonly id: string
  readonly repository: string
  readonly host: string
  readonly hostName: string
  readonly source: string
  /** Null where another program made it. */
  readonly job: string | null
  readonly tree: string
  readonly time: Instant
  readonly receivedAt: Instant
  readonly parent: string | null
  /** Null where another program made it. */
  readonly counts: JobCounts | null
  readonly outcome: Outcome | null
  readonly policyName: string | null
  readonly state: SnapshotState
  /** Made by another program; kept until a policy claims it. */
  readonly isForeign: boolean
  /** Under a legal hold since then. */
  readonly heldAt: Instant | null
  readonly heldBy: string | null
  readonly heldWhy: string | null
  readonly volume: VolumeDefinition | null
}

export interface SnapshotFilter {
  /** Also those that are there no more. */
  readonly gone?: boolean | undefined
  readonly host?: string | undefined
  readonly source?: string | undefined
  readonly since?: Instant | undefined
  readonly until?: Instant | undefined
  /** Only those before this one in the listing. */
  readonly after?: { readonly time: Instant; readonly id: string } | undefined
  readonly limit: number
}

export interface Repository {
  readonly id: string
  readonly host: string
  readonly hostName: string
  readonly vault: string
  readonly vaultName: string
  readonly place: VaultPlace
  /** Where in its vault it lies, if it was there before us. */
  readonly adoptedAt: string | null
  readonly capabilities: VaultCapabilities | null
  readonly state: 'absent' | 'initialising' | 'ready'
  readonly createdAt: Instant
  readonly readyAt: Instant | null
  readonly snapshots: number
  /** Bytes of packs and index files the catalogue knows. */
  readonly bytes: number
}

/** The recovery password, sealed to the operator's recovery recipient. */
export interface Escrow {
  readonly n: number
  readonly recipient: string
  /** age ciphertext in base64. */
  readonly sealed: string
  readonly at: Instant
}

export interface CatalogueStore {
  /** Newest first. */
  snapshots(filter: SnapshotFilter): Promise<Snapshot[]>
  /** Those whose id begins with `prefix`, two at most. */
  snapshotsByPrefix(prefix: string): Promise<Snapshot[]>
  repositories(): Promise<Repository[]>
  /** By its own id, or by its host's id or name. */
  repository(idOrHost: string): Promise<Repository | undefined>
  escrows(repository: string): Promise<Escrow[]>
}
