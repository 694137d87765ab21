// Vaults: where they lie, what a probe saw of them, and how far their clock is from ours.
import type { Instant } from '../../../shared/clock.ts'
import type { Places } from '../../../shared/vault/places.ts'
import type { ProbeFinding, VaultCapabilities, VaultPlace } from '../../../shared/vault/vault.ts'
import type { Trace } from './trace.ts'

export interface Vault {
  readonly id: string
  readonly name: string
  readonly place: VaultPlace
  /** JSON of `vaultCredentials` in the secret box; null for the disk. */
  readonly credentialsSealed: string | null
  readonly isDefault: boolean
  readonly capabilities: VaultCapabilities | null
  readonly findings: readonly ProbeFinding[] | null
  readonly probedAt: Instant | null
  /** Our clock minus the store's. */
  readonly clockSkewMs: number | null
  readonly clockCheckedAt: Instant | null
  readonly createdAt: Instant
  /** Where its adopted repositories lie. */
  readonly places: Places
  /** Days a snapshot stays after it was received, and a condemned pack after it was condemned. */
  readonly retentionFloorDays: number
}

export interface VaultsStore {
  find(idOrName: string): Promise<Vault | undefined>
  /** By name. */
  list(): Promise<Vault[]>
  /** The first vault becomes the default whatever `isDefault` says. False when the name is taken. */
  insert(vault: Vault, trace: Trace): Promise<boolean>
  /** False when it is the default already, or gone. */
  setDefault(id: string, trace: Trace): Promise<boolean>
  /** False when it is `days` already, or the vault is gone. */
  setFloor(id: string, days: number, trace: Trace): Promise<boolean>
  recordProbe(
    id: string,
    saw: {
      readonly capabilities: VaultCapabilities
      readonly findings: readonly ProbeFinding[]
      readonly at: Instant
    },
    trace: Trace,
  ): Promise<boolean>
  /** A measurement of the store's clock. `trace` is left out while nothing begins or ends by it. */
  recordClock(
    id: string,
    saw: { readonly skewMs: number; readonly at: Instant; readonly previous: number | null },
    trace: Trace | undefined,
  ): Promise<boolean>
}
