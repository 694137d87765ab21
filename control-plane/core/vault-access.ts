// A vault as the agent door needs it: its bytes, and how far our clock is from the store's.
import { type Duration, MINUTE } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type { Places } from '../../shared/vault/places.ts'
import type { Objects } from '../ports/objects.ts'

export interface VaultAccess {
  readonly objects: Objects
  /** Our clock minus the store's in ms as last measured; null before the first probe. */
  readonly clockSkewMs: number | null
}

/**
 * The vault of that id, with `places` beside those of its adopted repositories. Rejects with `not-found` if there
 * is none.
 */
export type OpenVault = (vault: string, places?: Places) => Promise<VaultAccess>

/** S3 servers refuse signatures that are further off than this. */
const MAX_SKEW: Duration = 15 * MINUTE

/** Throws `clock-skew` when URLs signed now would be refused anyway. */
export function refuseSkew(vault: VaultAccess): void {
  const skew = vault.clockSkewMs ?? 0
  if (Math.abs(skew) <= MAX_SKEW) return
  const minutes = Math.round(Math.abs(skew) / MINUTE)
  throw new HoldfastError(
    'clock-skew',
    `the control plane's clock is ${minutes} minutes ${skew > 0 ? 'ahead of' : 'behind'} the store's`,
    { hint: 'set the clock of the control plane (NTP), then run: holdfast vault probe' },
  )
}
