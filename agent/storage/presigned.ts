// Packs and index files by signed URLs: every attempt under a live grant, patience with the store, none with lies.
import { hash } from 'node:crypto'
import { type Clock, fraction, MINUTE, type Random, SECOND } from '../../shared/clock.ts'
import type { WantedGrant } from '../../shared/protocol/calls.ts'
import { createGrantDesk, type GrantSource, type HeldGrant } from './grant-desk.ts'
import {
  type Attempted,
  declaredLength,
  failedTransfer,
  isShorter,
  judge,
  wrongRange,
} from './judge-attempt.ts'
import { createLanes, type Went } from './lanes.ts'
import { StorageError } from './object-store.ts'
import type { TokenBucket } from './token-bucket.ts'
import {
  type AgentFor,
  type TransferAnswer,
  type TransferLimits,
  tellable,
  transfer,
  usualLimits,
} from './transfer.ts'

/** What a key of ours names. */
export interface GrantedObject {
  readonly what: 'pack' | 'index'
  readonly id: string
}

export interface PresignedDeps {
  readonly grants: GrantSource
  readonly agentFor: AgentFor
  readonly clock: Clock
  readonly random: Random
  /** Ends every wait and transfer; its reason is what calls reject with. */
  readonly signal: AbortSignal
  /** Resolves when a transfer may begin: at once, or when the lease is back. */
  readonly mayBegin: (signal: AbortSignal) => Promise<void>
  /** Called once per object that is now durable. */
  readonly onStored?: (object: GrantedObject & { bytes: number }) => void
  readonly limits?: TransferLimits
  /** How fast bytes may go out and come in. */
  readonly pace?: { readonly up?: TokenBucket; readonly down?: TokenBucket }
  /** The most uploads at a time at this moment. Defaults to 4: each holds a pack of about 16 MiB. */
  readonly uploadsAtMost?: () => number
  /** The store does not check SHA-256: every wish names the MD5 too. */
  readonly md5?: boolean
}

/** The two calls that travel by grant; all else about a repository goes through the control plane. */
export interface PresignedStore {
  /** As `ObjectStore.put`. */
  put(key: string, sha256: string, bytes: Uint8Array, options?: PutOptions): Promise<void>
  /** As `ObjectStore.get`; `signal` gives this one up, beside the store's own. */
  get(
    key: string,
    range?: { offset: number; length: number },
    signal?: AbortSignal,
  ): Promise<Uint8Array>
}

export interface PutOptions {
  /** What a pack holds, which goes into the wish for its grant. */
  readonly type?: 'data' | 'tree'
  /** Gives this one up, beside the store's own. */
  readonly signal?: AbortSignal
}

/** Uploads to begin with: two keep a 1 Gbit/s path full. */
const firstUploads = 2
/** Uploads at most unless told otherwise: four keep the same path full at 100 ms of latency. */
const usualUploads = 4
/** Downloads under way; ranges of a pack are small, so more of them fit. */
const downloadsAtOnce = 8
/** How long a store may fail every attempt of one object before the call gives up. */
const patience = 10 * MINUTE
/**
 * First and longest window between attempts. It doubles, and the wait is anywhere in it: who was refused together
 * must not come back together.
 */
const firstWait = SECOND
const longestWait = 30 * SECOND
/** Fresh grants after answers of 401 or 403 in a row: one for an expired URL, one for a skew being corrected. */
const regrantsInARow = 2
/** Attempts after the store saw other bytes: once can be the wire, twice is a machine that lies. */
const corruptRetries = 1
/** GET grants kept for further ranges of the same packs: a URL is about 1 KB. */
const keptGrants = 4_096
/** Largest object fetched whole: an index file of restic stays below 8 MB, a tree pack near 16 MiB. */
const wholeLimit = 256 * 2 ** 20

/** What the key of a pack or index file names, or undefined for other keys. */
export function grantedObject(key: string): GrantedObject | undefined {
  const match = /^(?:data\/([0-9a-f]{2})|index)\/([0-9a-f]{64})$/.exec(key)
  const id = match?.[2]
  if (id === undefined) return undefined
  if (match?.[1] === undefined) return { what: 'index', id }
  return id.startsWith(match[1]) ? { what: 'pack', id } : undefined
}

/**
 * A store whose every transfer asks for a grant. Retries by itself, because each attempt may need another
 * grant: `busy` and `unreachable` for ten minutes, `corrupt` once, expired URLs twice in a row. The errors
 * it rejects with name host and path of a URL, never its query.
 */
export function createPresignedStore(deps: PresignedDeps): PresignedStore {
  const { clock } = deps
  const desk = createGrantDesk(deps.grants, () => clock.monotonic())
  const limits = deps.limits ?? usualLimits
  const most = deps.uploadsAtMost ?? (() => usualUploads)
  const uploads = createLanes({ clock, first: firstUploads, most })
  const downloads = createSlots(downloadsAtOnce)
  const reading = new Map<string, HeldGrant>()

  const whicheverEnds = (signal: AbortSignal | undefined): AbortSignal =>
    signal === undefined ? deps.signal : AbortSignal.any([deps.signal, signal])

  async function grantFor(wanted: WantedGrant, signal: AbortSignal): Promise<HeldGrant> {
    try {
      return await abortable(desk.take(wanted), signal)
    } catch (error) {
      if (error instanceof StorageError || signal.aborted) throw error
      throw new StorageError('denied', `no ${wanted.method} grant for ${wanted.id}`, {
        cause: error,
      })
    }
  }

  /** Repeats `attempt` until it is final. It gets a grant and tells what its answer meant. */
  async function persist<T>(
    take: () => Promise<HeldGrant>,
    drop: () => void,
    attempt: (held: HeldGrant) => Promise<Attempted<T>>,
    signal: AbortSignal,
  ): Promise<T> {
    let failingSince: number | undefined
    let wait = firstWait
    let regrants = 0
    let corrupts = 0
    let held: HeldGrant | undefined
    for (;;) {
      const before = clock.monotonic()
      await deps.mayBegin(signal)
      // Time spent without a lease is not the store's fault.
      if (failingSince !== undefined) failingSince += clock.monotonic() - before
      if (held === undefined || clock.monotonic() >= held.freshUntil) held = await take()
      const result = await attempt(held)
      signal.throwIfAborted()
      if (result.kind === 'done') return result.value
      if (result.kind === 'lapsed') {
        held = undefined
        continue
      }
      if (result.kind === 'never') throw result.error
      if (result.kind === 'regrant') {
        if (regrants++ >= regrantsInARow) throw result.error
        held = undefined
        drop()
        // The first time it was most likely the URL's age, and no reason to wait.
        if (regrants === 1) continue
      } else {
        regrants = 0
        if (result.fresh) held = undefined
      }
      if (result.error.code === 'corrupt' && corrupts++ >= corruptRetries) throw result.error
      const now = clock.monotonic()
      failingSince ??= now
      if (now - failingSince >= patience) {
        throw new StorageError('unreachable', `gave up after 10 minutes: ${result.error.message}`, {
          cause: result.error,
        })
      }
      const asked = result.wait ?? 0
      await clock.sleep(asked + wait * fraction(deps.random), signal)
      wait = Math.min(wait * 2, longestWait)
    }
  }

  async function attemptPut(
    object: GrantedObject,
    bytes: Uint8Array,
    held: HeldGrant,
    signal: AbortSignal,
  ): Promise<Attempted<void>> {
    const { url, headers } = held.grant
    if (declaredLength(headers) !== bytes.length) {
      const error = new StorageError('denied', `the grant for ${object.id} is for another length`)
      return { kind: 'never', error }
    }
    const pace = deps.pace?.up
    const paced = pace === undefined ? {} : { pace }
    const request = {
      method: 'PUT',
      url,
      headers,
      body: bytes,
      acceptBytes: 64 * 1024,
      ...paced,
    } as const
    const leave = await uploads.enter(signal)
    let went: Went = { failed: true }
    try {
      // The place was waited for: meanwhile the lease may have ended, and the grant have lapsed.
      await deps.mayBegin(signal)
      if (clock.monotonic() >= held.freshUntil) return { kind: 'lapsed' }
      const answer = await tryTransfer(request, signal)
      if (answer instanceof StorageError) return failedTransfer(answer)
      const judged = judge('PUT', url, answer)
      if (judged === 'ok') went = { bytes: bytes.length }
      else if (judged !== 'taken' && judged.slow) went = { busy: true, wait: judged.wait }
      if (judged !== 'taken') return judged === 'ok' ? { kind: 'done', value: undefined } : judged
    } finally {
      leave(went)
    }
    return whatIsThere(object, bytes.length, url, signal)
  }

  /** After a 412: often our own earlier attempt, whose answer was lost. */
  async function whatIsThere(
    object: GrantedObject,
    bytes: number,
    url: string,
    signal: AbortSignal,
  ): Promise<Attempted<void>> {
    const answers = await abortable(deps.grants.stored([{ ...object, bytes }]), signal).catch(
      (cause: unknown) => {
        signal.throwIfAborted()
        throw new StorageError('denied', `no word on what is stored as ${object.id}`, { cause })
      },
    )
    const state = answers.find((one) => one.id === object.id)?.state
    if (state === 'stored') return { kind: 'done', value: undefined }
    if (state === 'exists') {
      const message = `${tellable(url)}: an object of that name has another size`
      return { kind: 'never', error: new StorageError('exists', message) }
    }
    const error = new StorageError('busy', `${tellable(url)}: 412 for a name that is absent`)
    // The guard of the old URL refused a ghost: only a new one helps.
    return { kind: 'again', error, fresh: true }
  }

  async function attemptGet(
    range: { offset: number; length: number } | undefined,
    held: HeldGrant,
    signal: AbortSignal,
  ): Promise<Attempted<Buffer>> {
    const { url } = held.grant
    const headers: Record<string, string> = { ...held.grant.headers }
    if (range !== undefined) {
      headers.Range = `bytes=${range.offset}-${range.offset + range.length - 1}`
    }
    const acceptBytes = range?.length ?? wholeLimit
    const pace = deps.pace?.down
    const paced = pace === undefined ? {} : { pace }
    const request = { method: 'GET', url, headers, acceptBytes, ...paced } as const
    const answer = await tryTransfer(request, signal)
    if (answer instanceof StorageError) return failedTransfer(answer)
    const judged = judge('GET', url, answer)
    if (judged === 'taken') {
      return { kind: 'never', error: new StorageError('denied', `GET ${tellable(url)}: 412`) }
    }
    if (judged !== 'ok') return judged
    const wrong = wrongRange(answer, range)
    if (wrong !== undefined) {
      const message = `GET ${tellable(url)}: ${wrong}`
      const error = new StorageError('truncated', message)
      // What the store itself says to have lost will not come back by waiting.
      return { kind: isShorter(answer, range) ? 'never' : 'again', error }
    }
    return { kind: 'done', value: answer.body }
  }

  async function tryTransfer(
    request: Parameters<typeof transfer>[0],
    signal: AbortSignal,
  ): Promise<TransferAnswer | StorageError> {
    try {
      return await transfer(request, deps.agentFor, limits, signal)
    } catch (error) {
      if (error instanceof StorageError) return error
      throw error
    }
  }

  return {
    async put(key, sha256, bytes, { type, signal: own } = {}) {
      const signal = whicheverEnds(own)
      const object = granted(key)
      if (object.id !== sha256) {
        throw new StorageError('denied', `the name of ${key} is not the hash of its bytes`)
      }
      const wanted: WantedGrant = {
        method: 'PUT',
        ...object,
        bytes: bytes.length,
        ...(deps.md5 ? { md5: hash('md5', bytes, 'hex') } : {}),
        ...(object.what === 'pack' && type !== undefined ? { type } : {}),
      }
      // Asked for before there is a place to use it: the way to the control plane is on nobody's path.
      let early: Promise<HeldGrant> | undefined = grantFor(wanted, signal)
      early.catch(() => {}) // whoever takes it hears of it
      const take = (): Promise<HeldGrant> => {
        const first = early
        early = undefined
        return first ?? grantFor(wanted, signal)
      }
      const nothing = (): void => {}
      await persist(take, nothing, (held) => attemptPut(object, bytes, held, signal), signal)
      desk.used(object.id)
      deps.onStored?.({ ...object, bytes: bytes.length })
    },

    async get(key, range, own) {
      const signal = whicheverEnds(own)
      const object = granted(key)
      if (range !== undefined && range.length === 0) return Buffer.alloc(0)
      const take = async (): Promise<HeldGrant> => {
        const kept = reading.get(key)
        if (kept !== undefined && clock.monotonic() < kept.freshUntil) return kept
        const held = await grantFor({ method: 'GET', ...object }, signal)
        reading.delete(key)
        reading.set(key, held)
        const oldest = reading.keys().next().value
        if (reading.size > keptGrants && oldest !== undefined) reading.delete(oldest)
        return held
      }
      const drop = (): void => {
        reading.delete(key)
      }
      return downloads(() => persist(take, drop, (held) => attemptGet(range, held, signal), signal))
    },
  }
}

function granted(key: string): GrantedObject {
  const object = grantedObject(key)
  if (object === undefined) throw new StorageError('denied', `${key} does not travel by grant`)
  return object
}

/** Runs at most `count` tasks at a time, in the order they came. */
function createSlots(count: number): <T>(task: () => Promise<T>) => Promise<T> {
  let free = count
  const waiting: (() => void)[] = []
  return async (task) => {
    if (free > 0) free--
    else await new Promise<void>((resolve) => waiting.push(resolve))
    try {
      return await task()
    } finally {
      const next = waiting.shift()
      if (next === undefined) free++
      else next()
    }
  }
}

/** `promise`, or the signal's reason, whichever comes first. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}
