// How to reach a repository with stock restic, without us. Pure.

import { repositoryPrefix } from '../../shared/vault/layout.ts'
import type { VaultCapabilities, VaultPlace } from '../../shared/vault/vault.ts'

/** Where the runtime keeps disk vaults, and as whom. */
export interface DiskVaults {
  /** Absolute path of a disk vault's folder on the control plane's machine. */
  folder(vault: string): string
  /** The user who may read it. */
  readonly user: string
}

export interface ResticCommands {
  readonly read: string
  /** Undefined while it is not known whether stock restic can write there. */
  readonly write: string | undefined
  readonly notes: readonly string[]
}

const PASSWORD = 'RESTIC_PASSWORD_FILE=recovery.password'
const PASSWORD_NOTE =
  'recovery.password holds the recovery password: open the escrow with `holdfast recovery open` and the recovery key'

/** Commands to read (`--no-lock`) and to write one repository, complete but for the password and store keys. */
export function resticCommands(
  repository: {
    id: string
    vault: string
    place: VaultPlace
    /** Where it lies, if not where the layout says. */
    adoptedAt: string | null
    capabilities: VaultCapabilities | null
  },
  disk: DiskVaults | undefined,
): ResticCommands {
  const { place, capabilities } = repository
  const { adoptedAt } = repository
  const prefix = (adoptedAt ?? repositoryPrefix(repository.id)).replace(/\/$/, '')
  if (place.kind === 'disk') {
    if (disk === undefined) {
      return { read: '', write: undefined, notes: ['the vault lies on another machine'] }
    }
    const base = `sudo -u ${quote(disk.user)} env ${PASSWORD} restic -r ${quote(`${disk.folder(repository.vault)}/${prefix}`)}`
    return {
      read: `${base} --no-lock snapshots`,
      write: `${base} check`,
      notes: [PASSWORD_NOTE, "run it on the control plane's machine"],
    }
  }
  const path = `${place.bucket}/${adoptedAt === null ? place.prefix : ''}${prefix}`
  const keys = 'AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=…'
  const lookup = place.pathStyle ? 'path' : 'dns'
  const s3 = `${keys} AWS_DEFAULT_REGION=${quote(place.region)} ${PASSWORD} restic -o s3.bucket-lookup=${lookup} -r ${quote(`s3:${place.endpoint.replace(/\/+$/, '')}/${path}`)}`
  const notes = [
    PASSWORD_NOTE,
    'run it as any user, with keys of the store that may read the bucket',
  ]
  if (capabilities === null || capabilities.stockResticWrites === null) {
    return {
      read: `${s3} --no-lock snapshots`,
      write: undefined,
      notes: [
        ...notes,
        'whether stock restic can write here is not known yet: run `holdfast vault probe`',
      ],
    }
  }
  if (capabilities.stockResticWrites) {
    return { read: `${s3} --no-lock snapshots`, write: `${s3} check`, notes }
  }
  return {
    read: `${s3} --no-lock snapshots`,
    write: `${PASSWORD} restic -r ${quote(`rclone:vault:${path}`)} check`,
    notes: [
      ...notes,
      'the probe saw this store refuse what stock restic sends when it writes, so writing goes through an rclone remote named "vault"',
    ],
  }
}

/** For a POSIX shell. */
function quote(text: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replace(/'/g, `'\\''`)}'`
}
