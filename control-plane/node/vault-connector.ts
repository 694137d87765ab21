// How a plain Node runtime reaches its vaults: any S3 bucket, and folders of its own disk.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { createS3Vault } from '../adapters/s3/s3-objects.ts'
import type { VaultConnection } from '../core/vaults.ts'
import type { VaultSubject } from '../ports/vault-subject.ts'
import { createDiskVault } from './disk-objects/disk-objects.ts'
import { openVaultFolder, type VaultFolder } from './disk-objects/vault-folder.ts'

/** Left free on the data disk for the database, so that a full vault can still be reported: 256 MiB. */
export const DISK_RESERVE_BYTES = 256 * 1_024 * 1_024

const VAULT_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export interface VaultConnector {
  connect(connection: VaultConnection): Promise<VaultSubject>
  /** For the vault door; undefined where there is no such folder. */
  folderOf(vault: string): Promise<VaultFolder | undefined>
  /** Where a disk vault lies, for `restic -r <folder>/repositories/<id>`. */
  pathOf(vault: string): string
}

export function createVaultConnector(deps: {
  /** The data directory; vaults lie in `vaults/` below it. */
  readonly dataDirectory: string
  readonly publicUrl: string
  readonly urlKey: Uint8Array
  readonly clock: Clock
  readonly reserveBytes?: number
}): VaultConnector {
  const { dataDirectory, publicUrl, urlKey, clock } = deps
  const reserveBytes = deps.reserveBytes ?? DISK_RESERVE_BYTES
  // A folder is opened once per process: opening it removes what unfinished uploads left behind.
  const folders = new Map<string, Promise<VaultFolder>>()
  const pathOf = (vault: string) => join(dataDirectory, 'vaults', vault)

  function open(vault: string): Promise<VaultFolder> {
    if (!VAULT_ID.test(vault)) throw new HoldfastError('not-found', 'there is no such vault')
    const known = folders.get(vault)
    if (known !== undefined) return known
    const opening = openVaultFolder(pathOf(vault), reserveBytes)
    folders.set(vault, opening)
    opening.catch(() => folders.delete(vault))
    return opening
  }

  return {
    pathOf,

    async connect({ id, place, places, credentials, capabilities, skewMs }) {
      if (place.kind === 'disk') {
        const folder = await open(id)
        return createDiskVault({ vault: id, folder, places, publicUrl, urlKey, clock })
      }
      if (credentials === undefined) throw new HoldfastError('internal', 'a vault lost its key')
      return createS3Vault({ place, places, credentials, capabilities, skewMs, clock, fetch })
    },

    async folderOf(vault) {
      if (!VAULT_ID.test(vault)) return undefined
      if (folders.has(vault)) return folders.get(vault)
      const there = await stat(pathOf(vault)).then(
        (facts) => facts.isDirectory(),
        () => false,
      )
      return there ? open(vault) : undefined
    },
  }
}
