// The catalogue and the bucket, brought together again: others may add to a repository, and take away from it.
import { formatSource, type SourceReference } from '../../shared/backup/source.ts'
import { DAY, MINUTE } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type { ReconcileRequest } from '../../shared/protocol/calls.ts'
import { repositoryPrefix, smallKey } from '../../shared/vault/layout.ts'
import type { Objects } from '../ports/objects.ts'
import type { StoredObject } from '../ports/store/grants.ts'
import type { HostsStore } from '../ports/store/hosts.ts'
import type { RepositoryState } from '../ports/store/repositories.ts'
import type { FoundSnapshot, SnapshotsStore } from '../ports/store/snapshots.ts'
import { alertMessage } from './alert-message.ts'
import type { Asker, Attempts } from './attempts.ts'
import type { Basics } from './deps.ts'
import { eachInTurn } from './each-in-turn.ts'
import { newEvent } from './event.ts'
import { inParallel, STORE_WIDTH } from './in-parallel.ts'
import { idsUnder } from './listed-ids.ts'
import type { OpenVault } from './vault-access.ts'

/** Repositories compared with their bucket in one sweep. */
const SWEEP = 5
/** Objects asked for one by one in one step. */
const STEP_CALLS = 500
/** Packs younger than this are still on their way into the catalogue by the claim of a commit. */
const YOUNG = DAY
/** A snapshot accepted so shortly before the listing may be missing in it. */
const JUST_NOW = 5 * MINUTE
/** Snapshots that an alert names. */
const NAMED = 3

export interface ReconcileDeps extends Basics {
  readonly attempts: Attempts
  readonly snapshots: SnapshotsStore
  readonly hosts: Pick<HostsStore, 'nameOf'>
  readonly openVault: OpenVault
}

type Place = Pick<RepositoryState, 'id' | 'host'>

export function createReconcile(deps: ReconcileDeps) {
  const { attempts, hosts, openVault, clock } = deps
  const store = deps.snapshots

  /**
   * Compares the snapshots: those that are gone are marked and alarmed, those nobody knows are counted, for the
   * host to read. Resolves to their number.
   */
  async function snapshots(repository: Place, objects: Objects): Promise<number> {
    const begun = clock.now()
    const known = await store.present(repository.id)
    const listed = new Set<string>()
    for await (const { id } of idsUnder(objects, `${repositoryPrefix(repository.id)}snapshots/`)) {
      listed.add(id)
    }
    const suspects = [...known]
      .filter(([id, { state }]) => state === 'present' && !listed.has(id))
      .filter(([, { receivedAt }]) => receivedAt < begun - JUST_NOW)
      .map(([id]) => id)
    // A listing may lag; the object itself is asked for. Those beyond one step's calls come the next time.
    const asked = suspects.slice(0, STEP_CALLS)
    const sizes = await inParallel(asked, STORE_WIDTH, (id) =>
      objects.head(smallKey(repository.id, 'snapshot', id)),
    )
    const gone = asked.filter((_, at) => sizes[at] === undefined)
    if (gone.length > 0) await vanished(repository, gone)
    const unknown = [...listed].filter((id) => !known.has(id)).length
    await store.setUnknown(repository.id, unknown)
    return unknown
  }

  async function vanished(repository: Place, gone: readonly string[]): Promise<void> {
    const hostname = (await hosts.nameOf(repository.host)) ?? repository.host
    const events = gone.map((id) =>
      newEvent(deps, {
        actor: 'system',
        action: 'snapshot.vanished',
        target: `snapshot:${id}`,
        outcome: 'failed',
        host: repository.host,
        details: { repository: repository.id, why: 'removed outside Holdfast' },
      }),
    )
    const [first, ...rest] = events
    if (first === undefined) return
    const names = gone.slice(0, NAMED).map((id) => id.slice(0, 8))
    const more = gone.length > NAMED ? ` and ${gone.length - NAMED} more` : ''
    await store.vanished(repository.id, gone, clock.now(), {
      events: [first, ...rest],
      messages: [
        alertMessage(deps, 'snapshots-removed', {
          hostname,
          message: `${gone.length} snapshots of host ${hostname} are gone from the bucket (${names.join(', ')}${more}), and Holdfast did not remove them. If nobody ran restic forget, find out who can write to the bucket.`,
        }),
      ],
    })
  }

  /** Compares packs and index files, so that the catalogue's numbers are the bucket's. One call per 1,000 objects. */
  async function contents(repository: Place, objects: Objects): Promise<void> {
    const begun = clock.now()
    const known = await store.objects(repository.id)
    const there = new Set<string>()
    const added: StoredObject[] = []
    for (const [folder, what] of [
      ['data/', 'pack'],
      ['index/', 'index'],
    ] as const) {
      const prefix = repositoryPrefix(repository.id) + folder
      for await (const { id, bytes, modifiedAt } of idsUnder(objects, prefix)) {
        there.add(id)
        if (known.has(id) || modifiedAt > begun - YOUNG) continue
        added.push({ id, what, type: null, bytes, job: 'outside' })
      }
    }
    const gone = [...known]
      .filter(([id, { storedAt }]) => !there.has(id) && storedAt < begun - YOUNG)
      .map(([id]) => id)
    if (gone.length + added.length === 0) return
    const event = newEvent(deps, {
      actor: 'system',
      action: 'catalogue.corrected',
      target: `repository:${repository.id}`,
      outcome: 'ok',
      host: repository.host,
      details: { gone: gone.length, added: added.length },
    })
    await store.correctObjects(repository.id, gone, added, clock.now(), { events: [event] })
  }

  /** Enters what the host read of snapshots nobody knew. What is not in the bucket is refused. */
  async function enter(asker: Asker, request: ReconcileRequest): Promise<void> {
    const { job, repository, vault } = await attempts.leased(asker, request)
    const allowed = job.kind === 'prune' || job.kind === 'verify' || job.kind === 'init'
    if (!allowed || job.host !== repository.host) {
      throw new HoldfastError('forbidden', `a job of kind ${job.kind} enters no snapshots`)
    }
    const wanted = new Map(request.snapshots.map((snapshot) => [snapshot.id, snapshot]))
    const known = await store.present(repository.id)
    for (const id of wanted.keys()) if (known.has(id)) wanted.delete(id) // asked before
    if (wanted.size === 0) return
    const there = new Map<string, number>()
    const prefix = `${repositoryPrefix(repository.id)}snapshots/`
    for await (const { id, bytes } of idsUnder(vault.objects, prefix)) there.set(id, bytes)
    const found: FoundSnapshot[] = [...wanted.values()].map((snapshot) => {
      if (there.get(snapshot.id) !== snapshot.bytes) {
        throw new HoldfastError('invalid', `snapshots: ${snapshot.id} is not in the bucket so`)
      }
      return {
        id: snapshot.id,
        source: formatSource(sourceOf(snapshot.paths)),
        tree: snapshot.tree,
        time: Date.parse(snapshot.time),
        parent: snapshot.parent ?? null,
        original: snapshot.original ?? null,
        hostname: snapshot.hostname,
        tags: snapshot.tags,
      }
    })
    const originals = new Map(
      (
        await store.originals(
          repository.id,
          found.flatMap(({ original }) => original ?? []),
        )
      ).map((row) => [row.id, row]),
    )
    const events = found.map((snapshot) => {
      const original = snapshot.original === null ? undefined : originals.get(snapshot.original)
      const copy = original?.tree === snapshot.tree
      return newEvent(deps, {
        actor: `host:${asker.host}`,
        action: 'snapshot.entered',
        target: `snapshot:${snapshot.id}`,
        outcome: 'ok',
        host: repository.host,
        job: job.id,
        details: {
          repository: repository.id,
          source: snapshot.source,
          hostname: snapshot.hostname,
          original: snapshot.original,
          foreign: !copy,
          ...(copy && original.job !== null ? { madeBy: original.job } : {}),
        },
      })
    })
    const [first, ...rest] = events
    if (first === undefined) return
    await store.enter(repository.id, found, clock.now(), { events: [first, ...rest] })
  }

  return {
    snapshots,
    enter,

    /** Everything of one repository, now. Resolves to the number of snapshots nobody knows. */
    async repository(repository: Place & { readonly vault: string }): Promise<number> {
      const { objects } = await openVault(repository.vault)
      const unknown = await snapshots(repository, objects)
      await contents(repository, objects)
      await store.reconciled(repository.id, clock.now())
      return unknown
    },

    /** Every repository once a day, some at a time. For a timer, every few minutes. */
    async sweep(): Promise<number> {
      const due = await store.toReconcile(clock.now() - DAY, SWEEP)
      await eachInTurn(due, async (one) => {
        await this.repository(one)
      })
      return due.length
    },
  }
}
export type Reconcile = ReturnType<typeof createReconcile>

/**
 * Our own sources by their path; anything else by its directory, several by the directory all of them lie in.
 */
export function sourceOf(paths: readonly string[]): SourceReference {
  const [first] = paths
  const volume = /^\/volumes\/([A-Za-z0-9][A-Za-z0-9_.-]{0,254})$/.exec(first ?? '')?.[1]
  if (paths.length === 1 && volume !== undefined) return { kind: 'volume', name: volume }
  const parts = paths.map((path) => path.split('/').filter((part) => part !== ''))
  const common: string[] = []
  for (const [at, part] of (parts[0] ?? []).entries()) {
    if (!parts.every((other) => other[at] === part) || part === '.' || part === '..') break
    common.push(part)
  }
  return { kind: 'directory', path: `/${common.join('/')}` }
}
