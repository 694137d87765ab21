// Signed URLs: which objects an attempt may write and read, how many at a time, and the signing itself.
import { SECOND } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import {
  GRANT_SECONDS,
  type Grant,
  type GrantsRequest,
  MAX_OUTSTANDING_BYTES,
  MAX_OUTSTANDING_GRANTS,
  MIN_INDEX_BYTES,
  MIN_PACK_BYTES,
  type WantedGrant,
} from '../../shared/protocol/calls.ts'
import { indexKey, packKey } from '../../shared/vault/layout.ts'
import type { GrantsStore } from '../ports/store/grants.ts'
import type { Asker, Attempts, OwnedAttempt } from './attempts.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import { refuseSkew } from './vault-access.ts'

/** SHA-256 of no bytes: signed, it would open the door to smuggled copies on unpatched stores. */
const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
/** A URL is signed a moment after its row is written, and stores look at their own clocks. */
const URL_SLACK = 60 * SECOND

export interface GrantsDeps extends Basics {
  readonly attempts: Attempts
  readonly grants: GrantsStore
}

type Put = Extract<WantedGrant, { method: 'PUT' }>

export function objectKey(repository: string, what: 'pack' | 'index', id: string): string {
  return what === 'pack' ? packKey(repository, id) : indexKey(repository, id)
}

/** Signed and refused as a whole: one bad wish and nothing is signed. */
export function createGrants(deps: GrantsDeps) {
  const { attempts, grants, clock } = deps

  function checkPut(put: Put): void {
    const least = put.what === 'pack' ? MIN_PACK_BYTES : MIN_INDEX_BYTES
    if (put.bytes < least || put.id === EMPTY_SHA256) {
      throw new HoldfastError(
        'invalid',
        `bytes: ${put.bytes} is less than the ${least} bytes of the smallest ${put.what} there is`,
      )
    }
  }

  /** Which of the wishes this kind of job may have at all. Resolves to the tree packs a backup reads back. */
  async function permit(owned: OwnedAttempt, wanted: readonly WantedGrant[]): Promise<number> {
    const { kind } = owned.job
    const refuse = (what: string) => {
      throw new HoldfastError('forbidden', `a job of kind ${kind} gets no grant to ${what}`)
    }
    if (kind === 'init') refuse('write or read packs and index files')
    const puts = wanted.filter((wish): wish is Put => wish.method === 'PUT')
    const writes = kind === 'backup' || kind === 'prune'
    if (puts.length > 0 && (!writes || owned.repository.host !== owned.job.host)) {
      refuse('write')
    }
    for (const put of puts) checkPut(put)
    if (new Set(puts.map(({ id }) => id)).size < puts.length) {
      throw new HoldfastError('invalid', 'wanted: the same object twice')
    }
    if (kind !== 'backup') return 0
    const packs = wanted.filter((wish) => wish.method === 'GET' && wish.what === 'pack')
    if (packs.length === 0) return 0
    const known = await grants.known(
      owned.repository.id,
      packs.map(({ id }) => id),
    )
    const trees = new Set(known.filter(({ type }) => type === 'tree').map(({ id }) => id))
    if (packs.some(({ id }) => !trees.has(id))) refuse('read packs that are not known tree packs')
    return packs.length
  }

  async function sign(owned: OwnedAttempt, wish: WantedGrant): Promise<Grant> {
    const key = objectKey(owned.repository.id, wish.what, wish.id)
    const { objects } = owned.vault
    const seconds = GRANT_SECONDS
    const { url, headers } =
      wish.method === 'GET'
        ? await objects.signGet({ key, seconds })
        : await objects.signPut({
            key,
            bytes: wish.bytes,
            sha256: wish.id,
            ...(wish.md5 === undefined ? {} : { md5: wish.md5 }),
            seconds,
          })
    return { method: wish.method, id: wish.id, url, headers: { ...headers }, seconds }
  }

  /**
   * Releases what is stored, counts what is wanted, then signs. Throws `too-many` when more would be
   * outstanding than a mover may have: upload first, say so in `stored`, ask again.
   */
  async function grant(asker: Asker, request: GrantsRequest): Promise<{ grants: Grant[] }> {
    const owned = await attempts.leased(asker, request)
    refuseSkew(owned.vault)
    const rebuild = await permit(owned, request.wanted)
    const now = clock.now()
    await grants.release(asker.batch, owned.repository.id, request.stored, now)
    const puts = new Map(
      request.wanted
        .filter((wish): wish is Put => wish.method === 'PUT')
        .map(({ id, what, type, bytes }) => [id, { id, what, type: type ?? null, bytes }]),
    )
    const bytes = [...puts.values()].reduce((sum, put) => sum + put.bytes, 0)
    const event = newEvent(deps, {
      actor: `host:${asker.host}`,
      action: rebuild > 0 ? 'grant.cache-rebuild' : 'grant.issued',
      target: `repository:${owned.repository.id}`,
      outcome: 'ok',
      host: asker.host,
      job: owned.job.id,
      details: {
        put: puts.size,
        bytes,
        get: request.wanted.length - puts.size,
        ...(rebuild > 0 ? { treePacks: rebuild } : {}),
      },
    })
    const reserved = await grants.reserve(
      {
        batch: asker.batch,
        job: owned.job.id,
        attempt: owned.job.attempt,
        puts: [...puts.values()],
        until: now + GRANT_SECONDS * SECOND + URL_SLACK,
        now,
        maxCount: MAX_OUTSTANDING_GRANTS,
        maxBytes: MAX_OUTSTANDING_BYTES,
      },
      { events: [event] },
    )
    if (!reserved) {
      throw new HoldfastError(
        'too-many',
        `more than ${MAX_OUTSTANDING_GRANTS} grants or ${MAX_OUTSTANDING_BYTES} bytes would be outstanding`,
        { hint: 'finish uploads and name them in "stored" first' },
      )
    }
    // If we die here the agent asks again: the same objects take the places of these.
    return { grants: await Promise.all(request.wanted.map((wish) => sign(owned, wish))) }
  }

  return { grant }
}
export type Grants = ReturnType<typeof createGrants>
