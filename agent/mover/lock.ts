// The lock of a batch: a shared one keeps a prune away and waits for one that came first; a prune's own tolerates nobody.
import { fromBase64, toBase64 } from '../../shared/bytes.ts'
import { fraction, MINUTE, SECOND } from '../../shared/clock.ts'
import {
  type LockConflict,
  lockConflicts,
  lockHostname,
  lockRefresh,
  sealLock,
} from '../repository/lock-file.ts'
import type { Repository } from '../repository/repository.ts'
import { fromMilliseconds } from '../repository/time.ts'
import type { Batch } from './batch.ts'
import { JobFailure } from './job-failure.ts'
import type { AttemptOf } from './plane.ts'
import { Refusal } from './refusal.ts'

/**
 * Our lock is gone, or nobody refreshed it for so long that another program may believe us dead. What was true of the
 * repository under it need not be true any more.
 */
export class LockLostError extends Error {
  constructor(cause: unknown) {
    super('the lock was removed, or could not be refreshed for 20 minutes', { cause })
    this.name = 'LockLostError'
  }
}

export interface HeldLock {
  /** Fires with a `LockLostError` once the lock counts as lost: begin again from a new one. */
  readonly signal: AbortSignal
  /**
   * Stores the lock anew and looks once more who else is there: of two programs that take locks at the same moment
   * one at least sees the other, but a lock that somebody removed protects from nobody. Rejects with
   * `repository-locked`.
   */
  confirm(signal: AbortSignal): Promise<void>
  /** Takes the lock back; what fails here is left to the control plane, which ends stale locks itself. */
  release(): Promise<void>
}

/** How long to wait for another program's exclusive lock, usually. A prune of a large repository takes longer: then fail. */
const lockPatience = 5 * MINUTE
/** Pauses between looks: 5 s doubling to a minute, as restic waits for unreadable locks. */
const firstPause = 5 * SECOND
const longestPause = MINUTE
/** Without a refresh for this long the work begins again: ten minutes before others call the lock stale. */
const refreshPatience = 20 * MINUTE
/** Pause after a failed refresh. */
const refreshPause = 30 * SECOND

/**
 * Take the shared lock, or the one that tolerates no other. `speaker` is the attempt that asks, looked up at each
 * call. Rejects with `repository-locked` if somebody is in the way for more than `patience` milliseconds.
 */
export async function takeLock(
  batch: Batch,
  repository: Repository,
  speaker: () => AttemptOf,
  signal: AbortSignal,
  patience = lockPatience,
  exclusive = false,
): Promise<HeldLock> {
  const { clock, random } = batch
  const begun = clock.monotonic()
  for (let pause = firstPause; ; pause = Math.min(pause * 2, longestPause)) {
    const lock = seal(batch, repository, exclusive)
    const { others } = await storeLock(batch, speaker(), lock, undefined, signal)
    const conflicts = conflictsAmong(batch, repository, exclusive, others)
    if (conflicts.length === 0) return hold(batch, repository, speaker, lock.id, exclusive)
    // While we wait nobody is kept out by us: two programs that each wait for the other never end.
    await removeLock(batch, speaker(), lock.id)
    if (clock.monotonic() - begun + pause > patience) throw locked(conflicts[0]!)
    const waiting = exclusive
      ? 'Another program uses the repository; waiting'
      : 'Another program holds the repository alone; waiting'
    batch.log('info', waiting, { count: conflicts.length, milliseconds: Math.round(pause) })
    await clock.sleep(pause / 2 + (pause / 2) * fraction(random), signal)
  }
}

function conflictsAmong(
  { clock }: Batch,
  repository: Repository,
  exclusive: boolean,
  others: readonly { id: string; bytes: string }[],
): LockConflict[] {
  return lockConflicts({
    key: repository.masterKey,
    exclusive,
    others: others.map(({ id, bytes }) => ({ id, bytes: fromBase64(bytes) })),
    now: clock.now(),
  })
}

function seal(batch: Batch, repository: Repository, exclusive: boolean) {
  const lock = {
    time: fromMilliseconds(batch.clock.now()),
    exclusive,
    hostname: lockHostname(batch.start.repository.hostname),
    username: 'holdfast',
    pid: process.pid,
  }
  return sealLock(repository.masterKey, lock, batch.bytes)
}

function storeLock(
  batch: Batch,
  attempt: AttemptOf,
  lock: { id: string; bytes: Uint8Array },
  replaces: string | undefined,
  signal: AbortSignal,
  patience?: number,
) {
  const body = {
    ...attempt,
    id: lock.id,
    bytes: toBase64(lock.bytes),
    ...(replaces === undefined ? {} : { replaces }),
  }
  return batch.plane.ask('lock', body, {
    signal,
    ...(patience === undefined ? {} : { patience }),
  })
}

async function removeLock(batch: Batch, attempt: AttemptOf, id: string): Promise<void> {
  // A cancelled batch still takes its lock back, but does not wait for it.
  const stop = AbortSignal.timeout(10 * SECOND)
  try {
    await batch.plane.ask('unlock', { ...attempt, id }, { signal: stop, patience: 5 * SECOND })
  } catch (error) {
    batch.log('warn', 'A lock could not be taken back; the control plane removes it later', {
      error: error instanceof Error ? error.name : 'unknown',
    })
  }
}

function locked({ lock }: LockConflict): JobFailure {
  if (lock === undefined) {
    return new JobFailure(
      'repository-locked',
      'a lock that cannot be read keeps everybody out; `restic unlock --remove-all` removes it',
    )
  }
  const { username, hostname, pid, exclusive } = lock
  const what = exclusive ? 'holds the repository alone' : 'uses the repository'
  return new JobFailure('repository-locked', `${username}@${hostname}, process ${pid}, ${what}`)
}

function hold(
  batch: Batch,
  repository: Repository,
  speaker: () => AttemptOf,
  first: string,
  exclusive: boolean,
): HeldLock {
  const { clock } = batch
  const lost = new AbortController()
  const end = new AbortController()
  let current = first
  let storing: Promise<unknown> = Promise.resolve()

  /** One at a time: each replaces the one before. */
  function storeNext(signal: AbortSignal, patience?: number) {
    const store = async () => {
      const next = seal(batch, repository, exclusive)
      const answer = await storeLock(batch, speaker(), next, current, signal, patience)
      current = next.id
      return answer
    }
    const stored = storing.then(store, store)
    storing = stored.catch(() => {})
    return stored
  }

  async function keepFresh(): Promise<void> {
    let refreshed = clock.monotonic()
    let wait = lockRefresh
    while (!end.signal.aborted) {
      await clock.sleep(wait, end.signal)
      try {
        await storeNext(end.signal, refreshPause)
        refreshed = clock.monotonic()
        wait = lockRefresh
      } catch (error) {
        if (end.signal.aborted) return
        // The control plane knows better than our clock, which stands still while a machine sleeps.
        const gone = error instanceof Refusal && error.code === 'lock-lost'
        if (gone || clock.monotonic() - refreshed >= refreshPatience) {
          lost.abort(new LockLostError(error))
          return
        }
        wait = refreshPause
      }
    }
  }
  const refreshing = keepFresh().catch(() => {})

  return {
    signal: lost.signal,
    async confirm(signal) {
      const { others } = await storeNext(signal)
      const [conflict] = conflictsAmong(batch, repository, exclusive, others)
      if (conflict !== undefined) throw locked(conflict)
    },
    async release() {
      end.abort()
      await refreshing
      await storing
      await removeLock(batch, speaker(), current)
    },
  }
}
