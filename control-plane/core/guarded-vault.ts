// A vault that signs nothing its last probe or its clock forbids.
import { HoldfastError } from '../../shared/errors.ts'
import type { Objects } from '../ports/objects.ts'
import type { Vault } from '../ports/store/vaults.ts'
import { refuseSkew, type VaultAccess } from './vault-access.ts'

export function guardVault(
  objects: Objects,
  vault: Pick<Vault, 'name' | 'capabilities' | 'clockSkewMs'>,
): VaultAccess {
  const { clockSkewMs } = vault
  const guarded: Objects = {
    ...objects,
    async signPut(wanted) {
      refuseSkew({ objects, clockSkewMs })
      if (vault.capabilities?.refusesSmuggledCopy === false) {
        throw new HoldfastError(
          'forbidden',
          `vault "${vault.name}" lets a grant holder read other objects: no uploads are granted`,
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
