// The life of a snapshot in the catalogue after its commit: judged, held, forgotten, vanished, or come from outside.
import type { Instant } from '../../../shared/clock.ts'
import type { SnapshotState } from './catalogue.ts'
import type { StoredObject } from './grants.ts'
import type { Trace } from './trace.ts'

/** A snapshot as retention sees it. */
export interface KeptSnapshot {
  readonly id: string
  readonly source: string
  readonly time: Instant
  readonly receivedAt: Instant
  readonly tags: readonly string[]
  /** Name of the policy that claimed it, of a foreign one. */
  readonly claimedBy: string | null
  readonly held: boolean
  /** Foreign, and no policy has claimed it. */
  readonly unclaimed: boolean
  readonly succeeded: boolean
}

/** A repository whose snapshots or bucket are to be looked at. */
export interface RepositoryDue {
  readonly id: string
  readonly host: string
  readonly hostName: string
  readonly vault: string
  readonly retentionFloorDays: number
}

/** A snapshot that was found in the bucket. */
export interface FoundSnapshot {
  readonly id: string
  readonly source: string
  readonly tree: string
  readonly time: Instant
  readonly parent: string | null
  readonly original: string | null
  readonly hostname: string
  readonly tags: readonly string[]
}

/** How the catalogue knows the snapshot that another says it is a copy of. */
export interface Original {
  readonly id: string
  readonly job: string | null
  readonly tree: string
}

export interface SnapshotsStore {
  /** Ready repositories with a snapshot received since they were judged, or not judged since `before`. */
  toJudge(before: Instant, limit: number): Promise<RepositoryDue[]>
  /** Ready repositories not compared with their bucket since `before`. */
  toReconcile(before: Instant, limit: number): Promise<RepositoryDue[]>
  /** A ready repository by its host. */
  ofHost(host: string): Promise<RepositoryDue | undefined>
  judged(repository: string, at: Instant): Promise<void>
  /** Snapshots that are there, of one repository. */
  kept(repository: string): Promise<KeptSnapshot[]>
  /**
   * present → forgetting. False when it is held, or read by a restore or browse that is not over, or when
   * fewer than `least` others of its source would stay.
   */
  beginForgetting(id: string, least: number, at: Instant, trace: Trace): Promise<boolean>
  /** Those whose removal is under way. */
  forgetting(
    limit: number,
  ): Promise<{ id: string; repository: string; host: string; vault: string }[]>
  /** forgetting → forgotten. */
  forgotten(id: string, at: Instant, trace: Trace): Promise<boolean>
  /** A legal hold. False when it is held already, or not there. */
  hold(
    id: string,
    by: { readonly at: Instant; readonly actor: string; readonly why: string | null },
    trace: Trace,
  ): Promise<boolean>
  /** False when it is not held. */
  release(id: string, trace: Trace): Promise<boolean>
  /** A policy takes a foreign snapshot under its rules. False when it is not foreign or claimed already. */
  claim(id: string, policy: string, at: Instant, trace: Trace): Promise<boolean>
  /** Ids the catalogue holds for there, with the moment each was entered. */
  present(repository: string): Promise<Map<string, { state: SnapshotState; receivedAt: Instant }>>
  /** present → vanished, all of them. */
  vanished(repository: string, ids: readonly string[], at: Instant, trace: Trace): Promise<boolean>
  originals(repository: string, ids: readonly string[]): Promise<Original[]>
  /** Enters snapshots found in the bucket; a copy of a known one takes over its job, source and receipt. */
  enter(
    repository: string,
    found: readonly FoundSnapshot[],
    at: Instant,
    trace: Trace,
  ): Promise<boolean>
  /** How many snapshots of the bucket nobody has read yet. */
  setUnknown(repository: string, count: number): Promise<void>
  reconciled(repository: string, at: Instant): Promise<void>
  /** What the catalogue knows of packs and index files, with when it learned of each. */
  objects(
    repository: string,
  ): Promise<Map<string, { what: 'pack' | 'index'; bytes: number; storedAt: Instant }>>
  /** Takes what is gone out of the catalogue, and what came from outside into it. */
  correctObjects(
    repository: string,
    gone: readonly string[],
    added: readonly StoredObject[],
    at: Instant,
    trace: Trace,
  ): Promise<boolean>
}
