// Hosts as their agents see them: identity, and what the last sign of life said.
import type { Instant } from '../../../shared/clock.ts'

export interface Host {
  readonly id: string
  readonly name: string
  readonly machine: string
  /** Ed25519, hex. */
  readonly publicKey: string
  readonly recoveryRecipient: string | null
  readonly recipient: string
  readonly repository: string
  readonly version: string
  readonly protocol: number | null
  readonly boot: string | null
  readonly lastSeen: Instant | null
  readonly silentSince: Instant | null
}

export interface HostsStore {
  /** A host of the fleet; undefined when it never was or was removed. */
  find(id: string): Promise<Host | undefined>
  findByName(name: string): Promise<Host | undefined>
  /** The name snapshots of this host carry; also of a host that was removed. */
  nameOf(id: string): Promise<string | undefined>
  findByKey(publicKey: string): Promise<Host | undefined>
}
