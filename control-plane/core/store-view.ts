// What a mover may see of its repository through us: live listings, sizes, and small sealed objects.
import type * as z from 'zod'
import { toBase64 } from '../../shared/bytes.ts'
import { HoldfastError } from '../../shared/errors.ts'
import {
  type listingAnswer,
  type listingRequest,
  MAX_SMALL_OBJECT,
  type readAnswer,
  type readRequest,
  type storedAnswer,
  type storedRequest,
} from '../../shared/protocol/calls.ts'
import { configKey, repositoryPrefix, smallKey } from '../../shared/vault/layout.ts'
import type { AlarmsStore } from '../ports/store/alarms.ts'
import type { GrantsStore, StoredObject } from '../ports/store/grants.ts'
import type { HostsStore } from '../ports/store/hosts.ts'
import type { RetirementsStore } from '../ports/store/retirements.ts'
import type { SnapshotsStore } from '../ports/store/snapshots.ts'
import type { Trace } from '../ports/store/trace.ts'
import { alertMessage } from './alert-message.ts'
import type { Asker, Attempts, OwnedAttempt } from './attempts.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import { objectKey } from './grants.ts'
import { inParallel, STORE_WIDTH } from './in-parallel.ts'

/** Objects of one page of a listing. */
const PAGE = 1_000
const ID = /^[0-9a-f]{64}$/
const folders = { index: 'index/', keys: 'keys/', snapshots: 'snapshots/', packs: 'data/' } as const

/** An object lies under a name that is the hash of other bytes: the trace of the alarm. */
export function conflictTrace(
  deps: Basics,
  facts: { host: string; hostname: string; job?: string; key: string; saw: string },
): Trace {
  return {
    events: [
      newEvent(deps, {
        actor: 'system',
        action: 'object.conflict',
        target: `object:${facts.key}`,
        outcome: 'failed',
        host: facts.host,
        ...(facts.job === undefined ? {} : { job: facts.job }),
        details: { saw: facts.saw },
      }),
    ],
    messages: [
      alertMessage(deps, 'object-conflict', {
        hostname: facts.hostname,
        ...(facts.job === undefined ? {} : { job: facts.job }),
        message: `The vault holds other bytes than expected under ${facts.key}: ${facts.saw}. Nothing was overwritten. Check who else can write to the bucket, then verify the repository.`,
      }),
    ],
  }
}

export interface StoreViewDeps extends Basics {
  readonly attempts: Attempts
  readonly grants: Pick<GrantsStore, 'release' | 'checked'>
  readonly hosts: Pick<HostsStore, 'find'>
  readonly alarms: AlarmsStore
  readonly retirements: Pick<RetirementsStore, 'condemnedPage'>
  readonly snapshots: Pick<SnapshotsStore, 'present'>
}

export function createStoreView(deps: StoreViewDeps) {
  const { attempts, grants, hosts, alarms, retirements, snapshots, clock } = deps

  /** After a 412, and before resuming: asks the store itself, object by object. */
  async function stored(
    asker: Asker,
    request: z.infer<typeof storedRequest>,
  ): Promise<z.infer<typeof storedAnswer>> {
    const owned = await attempts.owned(asker, request)
    const { id: repository } = owned.repository
    const now = clock.now()
    const found = await inParallel(request.objects, STORE_WIDTH, async ({ what, id, bytes }) => {
      const size = await owned.vault.objects.head(objectKey(repository, what, id))
      if (size === undefined) return { id, state: 'absent' as const }
      if (size === bytes) return { id, state: 'stored' as const }
      const key = objectKey(repository, what, id)
      const hostname = (await hosts.find(asker.host))?.name ?? asker.host
      const saw = `${size} bytes instead of ${bytes}`
      await alarms.raise(
        conflictTrace(deps, { host: asker.host, hostname, job: request.job, key, saw }),
      )
      return { id, state: 'exists' as const }
    })
    const there = new Set(found.filter(({ state }) => state === 'stored').map(({ id }) => id))
    // The grant's row knows what a pack holds; only what no grant of this batch knows is entered without it.
    await grants.release(asker.batch, repository, [...there], now)
    const seen: StoredObject[] = request.objects
      .filter(({ id }) => there.has(id))
      .map(({ id, what, bytes }) => ({ id, what, type: null, bytes, job: request.job }))
    await grants.checked(repository, seen, now)
    return { objects: found }
  }

  /** One page straight from the bucket. The epoch is that of the first page, which the cursor carries. */
  async function listing(
    asker: Asker,
    request: z.infer<typeof listingRequest>,
  ): Promise<z.infer<typeof listingAnswer>> {
    const owned = await attempts.owned(asker, request)
    // Each has cursors of its own.
    if (request.what === 'condemned') return condemned(owned, request.cursor)
    if (request.what === 'unknown-snapshots') return unknownSnapshots(owned, request.cursor)
    const [, begun, rest] = /^(\d{1,15})\.(.*)$/s.exec(request.cursor ?? '') ?? []
    if (request.cursor !== undefined && begun === undefined) {
      throw new HoldfastError('invalid', 'cursor: is not one of ours')
    }
    // Read before the first page: a prune that runs meanwhile makes the commit stale, never the listing false.
    const epoch = begun === undefined ? owned.repository.epoch : Number(begun)
    const prefix = repositoryPrefix(owned.repository.id) + folders[request.what]
    const page = await owned.vault.objects.list(prefix, {
      limit: PAGE,
      ...(rest === undefined ? {} : { cursor: rest }),
    })
    const objects = page.objects.flatMap(({ key, bytes }) => {
      const id = key.slice(key.lastIndexOf('/') + 1)
      return ID.test(id) ? [{ id, bytes }] : []
    })
    return { objects, epoch, ...(page.next === undefined ? {} : { next: `${epoch}.${page.next}` }) }
  }

  /** Packs that wait for their deletion, by id: a prune says whether they are still unreferenced. */
  async function condemned(
    owned: OwnedAttempt,
    cursor: string | undefined,
  ): Promise<z.infer<typeof listingAnswer>> {
    if (cursor !== undefined && !ID.test(cursor)) {
      throw new HoldfastError('invalid', 'cursor: is not one of ours')
    }
    const { id, epoch } = owned.repository
    const packs = await retirements.condemnedPage(id, cursor ?? '', PAGE)
    const last = packs.length === PAGE ? packs.at(-1) : undefined
    return { objects: packs, epoch, ...(last === undefined ? {} : { next: last.id }) }
  }

  /** One page of the bucket's snapshots, without those the catalogue knows. */
  async function unknownSnapshots(
    owned: OwnedAttempt,
    cursor: string | undefined,
  ): Promise<z.infer<typeof listingAnswer>> {
    const { id, epoch } = owned.repository
    const known = await snapshots.present(id)
    const page = await owned.vault.objects.list(`${repositoryPrefix(id)}snapshots/`, {
      limit: PAGE,
      ...(cursor === undefined ? {} : { cursor }),
    })
    const objects = page.objects.flatMap(({ key, bytes }) => {
      const name = key.slice(key.lastIndexOf('/') + 1)
      return ID.test(name) && !known.has(name) ? [{ id: name, bytes }] : []
    })
    return { objects, epoch, ...(page.next === undefined ? {} : { next: page.next }) }
  }

  /** Which snapshots a job may read: the one it was approved for, a backup its parent; verify, prune and adoption all. */
  function permitSnapshot(owned: OwnedAttempt, id: string): void {
    const { parameters } = owned.job
    const allowed =
      parameters.kind === 'verify' ||
      parameters.kind === 'prune' ||
      (parameters.kind === 'init' && parameters.adopt !== undefined) ||
      (parameters.kind === 'backup' && parameters.parent === id) ||
      ((parameters.kind === 'restore' || parameters.kind === 'browse') &&
        parameters.snapshot === id)
    if (allowed) return
    throw new HoldfastError('forbidden', `this ${parameters.kind} job may not read snapshot ${id}`)
  }

  /** Sealed bytes of the config, a key file, or a snapshot this job is about. */
  async function read(
    asker: Asker,
    request: z.infer<typeof readRequest>,
  ): Promise<z.infer<typeof readAnswer>> {
    const owned = await attempts.owned(asker, request)
    const { what, id } = request
    if (what !== 'config' && id === undefined) {
      throw new HoldfastError('invalid', `id: needed to read a ${what}`)
    }
    if (what === 'snapshot') permitSnapshot(owned, id!)
    const { id: repository } = owned.repository
    const key = what === 'config' ? configKey(repository) : smallKey(repository, what, id!)
    const bytes = await owned.vault.objects.get(key, MAX_SMALL_OBJECT)
    if (bytes === undefined) {
      throw new HoldfastError('not-found', `the vault has no ${what}${id ? ` ${id}` : ''}`)
    }
    return { bytes: toBase64(bytes) }
  }

  return { stored, listing, read }
}
export type StoreView = ReturnType<typeof createStoreView>
