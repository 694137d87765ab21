// Snapshots and repositories, for people.

import type { AuditEvent } from '../../shared/audit/event.ts'
import { formatInstant } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type {
  CatalogueStore,
  Escrow,
  Repository,
  Snapshot,
  SnapshotFilter,
} from '../ports/store/catalogue.ts'
import type { FleetStore } from '../ports/store/fleet.ts'
import { actorOf, type Identity } from './access.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import { type DiskVaults, type ResticCommands, resticCommands } from './restic-command.ts'

export type Catalogue = ReturnType<typeof createCatalogue>

export interface RepositoryFacts {
  readonly repository: Repository
  readonly restic: ResticCommands
}

export function createCatalogue(
  deps: Basics & {
    store: CatalogueStore
    /** Keeps an event of something that was only read. */
    record: (event: AuditEvent) => Promise<void>
    fleet: Pick<FleetStore, 'host'>
    /** Undefined where the runtime has no disk. */
    disk: DiskVaults | undefined
  },
) {
  const { store } = deps
  const withCommands = (repository: Repository): RepositoryFacts => ({
    repository,
    restic: resticCommands(repository, deps.disk),
  })

  return {
    /** Newest first; `cursor` is what the page before gave as `next`. */
    async snapshots(
      wanted: Omit<SnapshotFilter, 'after'> & { cursor?: string | undefined },
    ): Promise<{ snapshots: Snapshot[]; next: string | undefined }> {
      const host = wanted.host === undefined ? undefined : await deps.fleet.host(wanted.host)
      if (wanted.host !== undefined && host === undefined) {
        throw new HoldfastError('not-found', `there is no host "${wanted.host}"`)
      }
      const found = await store.snapshots({
        ...wanted,
        host: host?.id,
        after: wanted.cursor === undefined ? undefined : parseCursor(wanted.cursor),
        limit: wanted.limit + 1,
      })
      const snapshots = found.slice(0, wanted.limit)
      const last = snapshots.at(-1)
      const more = found.length > snapshots.length && last !== undefined
      return { snapshots, next: more ? `${formatInstant(last.time)}_${last.id}` : undefined }
    },

    /** By id, or by a beginning of it that only one snapshot has. */
    async snapshot(prefix: string): Promise<Snapshot> {
      const [first, second] = await store.snapshotsByPrefix(prefix)
      if (first === undefined) {
        throw new HoldfastError('not-found', `there is no snapshot "${prefix}"`)
      }
      if (second === undefined) return first
      throw new HoldfastError('invalid', `"${prefix}" is the beginning of several snapshots' ids`, {
        hint: 'give more digits',
      })
    },

    /** As `snapshot`, and it is there to be read. */
    async readable(prefix: string): Promise<Snapshot> {
      const found = await this.snapshot(prefix)
      if (found.state === 'present') return found
      throw new HoldfastError(
        'not-found',
        `snapshot ${found.id} is ${found.state === 'vanished' ? 'gone: it was removed outside Holdfast' : 'forgotten'}`,
      )
    },

    async repositories(): Promise<RepositoryFacts[]> {
      return (await store.repositories()).map(withCommands)
    },

    /**
     * By id, or by its host's id or name; with the escrowed recovery passwords, sealed. Whoever took those
     * with them is noted in the log before they get them.
     */
    async repository(
      idOrHost: string,
      by: Identity,
    ): Promise<RepositoryFacts & { escrows: readonly Escrow[] }> {
      const repository = await store.repository(idOrHost)
      if (repository === undefined) {
        throw new HoldfastError('not-found', `there is no repository "${idOrHost}"`)
      }
      const escrows = await store.escrows(repository.id)
      await deps.record(
        newEvent(deps, {
          actor: actorOf(by),
          action: 'escrow.read',
          target: `repository:${repository.id}`,
          outcome: 'ok',
          host: repository.host,
          details: { escrows: escrows.length },
        }),
      )
      return { ...withCommands(repository), escrows }
    },
  }
}

function parseCursor(cursor: string): { time: number; id: string } {
  const [time, id, ...more] = cursor.split('_')
  const at = Date.parse(time ?? '')
  if (Number.isNaN(at) || id === undefined || more.length > 0) {
    throw new HoldfastError('invalid', 'cursor: is not one this listing gave')
  }
  return { time: at, id }
}
