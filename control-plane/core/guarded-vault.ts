// A vault that signs nothing its last probe or its clock forbids.
import { HoldfastError } from '../../shared/errors.ts'
import type { Objects } from '../ports/objects.ts'
import type { Vault } from '../ports/store/vaults.ts'
import { refuseSkew, type VaultAccess } from './vault-access.ts'

/** What a stolen host could do with a grant of this store that no grant can forbid; undefined: nothing known. */
function uploadDanger(capabilities: Vault['capabilities']): string | undefined {
  if (capabilities === null) return undefined
  const { refusesSmuggledCopy, bindsMethodAndKey } = capabilities
  const { enforcesSha256, enforcesMd5, ifNoneMatch } = capabilities
  if (refusesSmuggledCopy === false) return 'lets a grant holder read other objects'
  if (bindsMethodAndKey === false) return 'lets a grant holder write under other names'
  // Either alone is enough: the right bytes only, or the first ones for ever.
  const pinned = enforcesSha256 !== false || enforcesMd5 === true || ifNoneMatch === 'enforced'
  return pinned ? undefined : 'lets a grant holder replace what was stored'
}

export function guardVault(
  objects: Objects,
  vault: Pick<Vault, 'name' | 'capabilities' | 'clockSkewMs'>,
): VaultAccess {
  const { clockSkewMs } = vault
  const guarded: Objects = {
    ...objects,
    async signPut(wanted) {
      refuseSkew({ objects, clockSkewMs })
      const danger = uploadDanger(vault.capabilities)
      if (danger !== undefined) {
        throw new HoldfastError(
          'forbidden',
          `vault "${vault.name}" ${danger}: no uploads are granted`,
          { hint: 'see "holdfast vault probe" for what it did and what helps' },
        )
      }
      return objects.signPut(wanted)
    },
    async signGet(wanted) {
      refuseSkew({ objects, clockSkewMs })
      return objects.signGet(wanted)
    },
  }
  return { objects: guarded, clockSkewMs }
}
