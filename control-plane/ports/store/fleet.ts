// Hosts and what they have, for people and for selection. How hosts join and speak is another store's.
import type { Instant } from '../../../shared/clock.ts'
import type { Trace } from './trace.ts'

export interface FleetHost {
  readonly id: string
  readonly name: string
  readonly version: string
  readonly enrolledAt: Instant
  readonly lastSeen: Instant | null
  readonly silentSince: Instant | null
  /** age recipients: the operator's, pinned on the host, and the host's own. */
  readonly recoveryRecipient: string | null
  readonly recipient: string
  readonly publicKey: string
  readonly inventoryAt: Instant | null
  readonly engine: string | null
  readonly repository: string
  readonly repositoryState: 'absent' | 'initialising' | 'ready'
  /** Name of the vault its repository lies in. */
  readonly vault: string
  readonly sources: number
}

export interface FleetSource {
  readonly host: string
  readonly hostName: string
  readonly hostLastSeen: Instant | null
  readonly repository: string
  /** `volume:<name>` or `directory:<path>`. */
  readonly source: string
  readonly kind: 'volume' | 'directory'
  readonly name: string
  readonly driver: string | null
  readonly labels: Readonly<Record<string, string>>
  readonly project: string | null
  readonly service: string | null
  readonly anonymous: boolean
  /** Why it cannot be backed up, if so. */
  readonly unsupported: string | null
  readonly usedBy: readonly string[]
  readonly firstSeen: Instant
  readonly lastSeen: Instant
  readonly goneAt: Instant | null
  /** Time of its newest snapshot. */
  readonly snapshotAt: Instant | null
}

export interface FleetStore {
  /** Hosts that were not removed, by name. */
  hosts(): Promise<FleetHost[]>
  /** By id or by name. */
  host(idOrName: string): Promise<FleetHost | undefined>
  /** Sources of hosts that were not removed, by host and name; without `gone` only those that are there. */
  sources(filter: { host?: string | undefined; gone: boolean }): Promise<FleetSource[]>
  /**
   * Takes the host out of the fleet: its name and key become free, its sessions end, its waiting jobs are
   * cancelled. Snapshots stay. False when it is gone already or a job of it runs.
   */
  removeHost(id: string, at: Instant, trace: Trace): Promise<boolean>
}
