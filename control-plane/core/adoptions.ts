// What people ask for when a repository that is there already shall become a host's.
import type { ParametersOf } from '../../shared/backup/job.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { MAX_SMALL_OBJECT } from '../../shared/protocol/calls.ts'
import { ADOPT_PROTOCOL_VERSION } from '../../shared/protocol/version.ts'
import { configKey } from '../../shared/vault/layout.ts'
import { parsePlace } from '../../shared/vault/places.ts'
import type { CatalogueStore } from '../ports/store/catalogue.ts'
import type { FleetHost } from '../ports/store/fleet.ts'
import type { HostsStore } from '../ports/store/hosts.ts'
import type { Vault } from '../ports/store/vaults.ts'
import { InvalidFields } from './problem.ts'
import type { Vaults } from './vaults.ts'

export interface WantedAdoption {
  readonly vault: string
  /** From the root of the bucket, or from the folder of a disk vault. */
  readonly prefix: string
  /** A password of the repository, sealed to the host's recipient. */
  readonly sealedPassword: string
}

export interface AdoptionDeps {
  readonly vaults: Pick<Vaults, 'find' | 'open'>
  readonly catalogue: Pick<CatalogueStore, 'repository' | 'repositories'>
  readonly hosts: Pick<HostsStore, 'find'>
}

/**
 * The job's parameters. Rejects with `conflict` where the host has backups, with `already-exists` where another
 * host has the repository, with `not-found` where none lies.
 */
export async function planAdoption(
  deps: AdoptionDeps,
  host: FleetHost,
  wanted: WantedAdoption,
): Promise<ParametersOf<'init'>> {
  if (((await deps.hosts.find(host.id))?.protocol ?? 0) < ADOPT_PROTOCOL_VERSION) {
    throw new HoldfastError(
      'version-unsupported',
      `the agent of host "${host.name}" cannot take over repositories yet`,
      { hint: 'let it connect, or upgrade it' },
    )
  }
  const vault = await deps.vaults.find(wanted.vault)
  const place = placeIn(vault, wanted.prefix)
  for (const other of await deps.catalogue.repositories()) {
    if (other.vault !== vault.id || other.adoptedAt !== place) continue
    throw new HoldfastError(
      'already-exists',
      `the repository at "${place}" is that of host "${other.hostName}" already`,
    )
  }
  const own = await deps.catalogue.repository(host.id)
  if (own !== undefined && (own.adoptedAt !== null || own.snapshots > 0)) {
    throw new HoldfastError('conflict', `host "${host.name}" has a repository with backups`, {
      hint: 'only a host without backups can take over a repository: enrol a new one for it',
    })
  }
  const { objects } = await deps.vaults.open(vault.id, { [host.repository]: place })
  const config = await objects.get(configKey(host.repository), MAX_SMALL_OBJECT)
  if (config === undefined) {
    throw new HoldfastError(
      'not-found',
      `vault "${vault.name}" holds no restic repository at "${place}"`,
      {
        hint: 'the prefix is the path from the root of the bucket, or from the folder of the vault',
      },
    )
  }
  return {
    kind: 'init',
    adopt: { vault: vault.id, place, sealedPassword: wanted.sealedPassword },
  }
}

function placeIn(vault: Vault, prefix: string): string {
  const problem = (message: string) => new InvalidFields([{ path: ['prefix'], message }])
  const place = parsePlace(prefix)
  if (place === undefined) {
    throw problem(
      'must be a path of letters, digits, "-", "_" and "." and not among Holdfast\'s own folders',
    )
  }
  if (vault.place.kind === 'disk') {
    if (place === '') throw problem('must name a folder below that of the vault')
    return place
  }
  const ours = ['repositories/', 'holdfast/'].map((name) => `${vaultPrefix(vault)}${name}`)
  if (ours.some((own) => place.startsWith(own))) {
    throw problem("must not lie among Holdfast's own folders")
  }
  return place
}

const vaultPrefix = ({ place }: Vault) => (place.kind === 's3' ? place.prefix : '')
