// The recovery password of a host's repository, opened with the operator's recovery kit.
import { fromBase64 } from '../../shared/bytes.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { openSealed } from './recovery-kit.ts'

/** One escrowed password as the control plane keeps it: it cannot open it. */
export interface Escrow {
  readonly n: number
  readonly recipient: string
  /** age ciphertext, base64. */
  readonly sealed: string
}

/** Opens the newest escrow that one of the identities fits. */
export async function openEscrow(
  hostName: string,
  escrows: readonly Escrow[],
  identities: readonly string[],
): Promise<string> {
  if (escrows.length === 0) {
    throw new HoldfastError(
      'repository-absent',
      `the repository of ${hostName} has no escrow: it is not initialised yet`,
      {
        hint: 'its first backup makes it',
      },
    )
  }
  let last: unknown
  for (const escrow of [...escrows].sort((a, b) => b.n - a.n)) {
    try {
      return new TextDecoder().decode(await openSealed(fromBase64(escrow.sealed), identities))
    } catch (error) {
      last = error
    }
  }
  throw last
}
