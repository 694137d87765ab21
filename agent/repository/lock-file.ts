// Locks: small sealed files that say who is working, so that nobody deletes what another still needs.
import type { SealingKey } from './cipher.ts'
import { RepositoryError } from './errors.ts'
import { field, goString, parseObject, stringField, uintField } from './go-json.ts'
import type { Id, Random } from './id.ts'
import { formatTime, fromMilliseconds, type Nanoseconds, parseTime } from './time.ts'
import { openUnpacked, type SealedObject, sealUnpacked } from './unpacked.ts'

export interface Lock {
  readonly time: Nanoseconds
  /** Exclusive locks (prune, rekey) tolerate no other; shared ones tolerate each other. */
  readonly exclusive: boolean
  readonly hostname: string
  readonly username: string
  readonly pid: number
  readonly uid?: number
  readonly gid?: number
}

/** A lock is replaced by a newer one this often, in milliseconds. */
export const lockRefresh = 5 * 60 * 1000
/** A lock not refreshed for this long, in milliseconds, belongs to nobody any more. restic's number. */
export const lockStale = 30 * 60 * 1000

/**
 * The name a lock bears for a host. Not the bare one: on its own host stock restic looks for the lock's pid, does
 * not find one of another PID namespace, and removes the lock of a live backup.
 */
export function lockHostname(host: string): string {
  return `holdfast@${host}`
}

/** A lock ready to be stored under `locks/<id>`. */
export function sealLock(key: SealingKey, lock: Lock, random: Random): SealedObject {
  const ids = `${lock.uid ? `,"uid":${lock.uid}` : ''}${lock.gid ? `,"gid":${lock.gid}` : ''}`
  const json =
    `{"time":"${formatTime(lock.time)}","exclusive":${lock.exclusive}` +
    `,"hostname":${goString(lock.hostname)},"username":${goString(lock.username)}` +
    `,"pid":${lock.pid}${ids}}`
  return sealUnpacked(key, Buffer.from(json), random)
}

/** Rejects with `damaged`. */
export function openLock(key: SealingKey, id: Id, bytes: Uint8Array): Lock {
  const what = 'a lock'
  const json = parseObject(openUnpacked(key, id, bytes), what)
  const uid = uintField(json, 'uid', what)
  const gid = uintField(json, 'gid', what)
  return {
    time: parseTime(field(json, 'time'), `${what}'s time`),
    exclusive: field(json, 'exclusive') === true,
    hostname: stringField(json, 'hostname', what) ?? '',
    username: stringField(json, 'username', what) ?? '',
    pid: uintField(json, 'pid', what) ?? 0,
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
  }
}

/** A lock that keeps us from working. `lock` is undefined where it could not be read. */
export interface LockConflict {
  readonly id: Id
  readonly lock: Lock | undefined
}

/**
 * Which of the other locks exclude ours, at `now` (milliseconds since 1970). Stale ones and empty files exclude
 * nobody; one that cannot be read excludes everybody, because nothing says it is harmless.
 */
export function lockConflicts(options: {
  key: SealingKey
  exclusive: boolean
  others: Iterable<{ id: Id; bytes: Uint8Array }>
  now: number
}): LockConflict[] {
  const { key, exclusive, others, now } = options
  const oldest = fromMilliseconds(now - lockStale)
  const conflicts: LockConflict[] = []
  for (const { id, bytes } of others) {
    if (bytes.length === 0) continue
    let lock: Lock
    try {
      lock = openLock(key, id, bytes)
    } catch (error) {
      if (!(error instanceof RepositoryError)) throw error
      conflicts.push({ id, lock: undefined })
      continue
    }
    if (lock.time < oldest) continue
    if (exclusive || lock.exclusive) conflicts.push({ id, lock })
  }
  return conflicts
}
