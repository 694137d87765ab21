import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { MINUTE } from '../../shared/clock.ts'
import type { AskRequest } from '../ipc/messages.ts'
import { openLock, sealLock } from '../repository/lock-file.ts'
import { prepareRepository } from '../repository/repository.ts'
import { fromMilliseconds } from '../repository/time.ts'
import type { Batch } from './batch.ts'
import { LockLostError, takeLock } from './lock.ts'
import type { AskOptions } from './plane.ts'
import { Refusal } from './refusal.ts'

const random = (n: number) => randomBytes(n)
const attempt = { job: 'a', attempt: 1, fence: 1 }
const noon = Date.parse('2026-01-01T12:00:00Z')

const { repository } = await prepareRepository({
  passwords: ['x'],
  random,
  clock: { now: () => noon },
  hostname: 'web-1',
  username: 'test',
})

/** A `locks/` folder, and time that passes by sleeping; `onSleep` sees each sleep before it passes. */
function rig() {
  let at = 0
  const locks = new Map<string, Uint8Array>()
  const state = { onSleep: (_: number): void => {}, refuse: undefined as Refusal | undefined }
  const clock = {
    now: () => noon + at,
    monotonic: () => at,
    async sleep(ms: number, signal?: AbortSignal) {
      await new Promise((resolve) => setImmediate(resolve))
      signal?.throwIfAborted()
      state.onSleep(at)
      at += ms
    },
  }
  const plane = {
    async ask(name: string, body: AskRequest<'lock'>, { signal }: AskOptions) {
      signal.throwIfAborted()
      if (state.refuse !== undefined && name === 'lock') throw state.refuse
      if (name === 'unlock') {
        locks.delete(body.id)
        return {}
      }
      locks.set(body.id, Buffer.from(body.bytes, 'base64'))
      if (body.replaces !== undefined) locks.delete(body.replaces)
      const others = [...locks].filter(([id]) => id !== body.id)
      return { others: others.map(([id, b]) => ({ id, bytes: Buffer.from(b).toString('base64') })) }
    },
  }
  const batch = {
    plane,
    clock,
    random: { bytes: (n: number) => new Uint8Array(n) },
    bytes: random,
    log: () => {},
    start: { repository: { hostname: 'web-1' } },
  } as unknown as Batch
  const put = (exclusive: boolean, hostname: string, minutesAgo = 0): string => {
    const time = fromMilliseconds(clock.now() - minutesAgo * MINUTE)
    const lock = { time, exclusive, hostname, username: 'root', pid: 7 }
    const { id, bytes } = sealLock(repository.masterKey, lock, random)
    locks.set(id, bytes)
    return id
  }
  const take = () => takeLock(batch, repository, () => attempt, new AbortController().signal)
  return { locks, state, put, take, elapsed: () => at }
}

describe('the lock of a batch', () => {
  it('is shared, and bears a name that no process of the host itself has', async () => {
    const { locks, take } = rig()
    const held = await take()
    const [[id, bytes]] = [...locks] as [[string, Uint8Array]]
    expect(openLock(repository.masterKey, id, bytes)).toMatchObject({
      exclusive: false,
      hostname: 'holdfast@web-1',
    })
    await held.release()
    expect(locks.size).toBe(0)
  })

  it('minds neither shared locks, nor stale ones, nor empty files', async () => {
    const { locks, put, take } = rig()
    put(false, 'holdfast@web-2')
    put(true, 'long-gone', 31)
    locks.set('0'.repeat(64), new Uint8Array(0))
    const held = await take()
    await held.release()
    expect(locks.size).toBe(3)
  })

  it('keeps nobody out while it waits, and fails after five minutes with who is there', async () => {
    const { locks, state, put, take, elapsed } = rig()
    const theirs = put(true, 'laptop')
    state.onSleep = () => expect([...locks.keys()]).toEqual([theirs])
    await expect(take()).rejects.toMatchObject({
      reason: 'repository-locked',
      message: 'root@laptop, process 7, holds the repository alone',
    })
    expect(elapsed()).toBeGreaterThan(2 * MINUTE)
    expect(elapsed()).toBeLessThanOrEqual(5 * MINUTE)
    expect([...locks.keys()]).toEqual([theirs])
  })

  it('goes on as soon as the other is gone', async () => {
    const { locks, state, put, take } = rig()
    const theirs = put(true, 'laptop')
    let sleeps = 0
    state.onSleep = () => {
      if (++sleeps === 2) locks.delete(theirs)
    }
    await (await take()).release()
    expect(sleeps).toBeGreaterThanOrEqual(2)
  })

  it('does not pass a lock that it cannot read', async () => {
    const { locks, take } = rig()
    locks.set('1'.repeat(64), randomBytes(200))
    await expect(take()).rejects.toThrow('a lock that cannot be read')
  })

  it('is stored anew every five minutes, the old one removed', async () => {
    const { locks, state, take } = rig()
    const seen = new Set<string>()
    const refreshed = Promise.withResolvers<void>()
    state.onSleep = () => {
      expect(locks.size).toBe(1)
      for (const id of locks.keys()) seen.add(id)
      if (seen.size === 4) refreshed.resolve()
    }
    const held = await take()
    await refreshed.promise
    await held.release()
    expect(locks.size).toBe(0)
    expect(held.signal.aborted).toBe(false)
  })

  it('counts as lost after twenty minutes without a refresh', async () => {
    const { state, take, elapsed } = rig()
    const held = await take()
    state.refuse = new Refusal('lock', 'plane-unavailable', 'gone', true)
    await new Promise((resolve) => held.signal.addEventListener('abort', resolve))
    expect(held.signal.reason).toBeInstanceOf(LockLostError)
    expect(elapsed()).toBeGreaterThanOrEqual(20 * MINUTE)
    expect(elapsed()).toBeLessThan(22 * MINUTE)
    await held.release()
  })

  it('counts as lost at once when the control plane says that it is gone', async () => {
    const { state, take, elapsed } = rig()
    const held = await take()
    state.refuse = new Refusal('lock', 'lock-lost', 'swept', false)
    await new Promise((resolve) => held.signal.addEventListener('abort', resolve))
    expect(held.signal.reason).toBeInstanceOf(LockLostError)
    expect(elapsed()).toBeLessThan(6 * MINUTE)
    await held.release()
  })
})
