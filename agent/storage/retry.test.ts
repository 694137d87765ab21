import { describe, expect, test } from 'vitest'
import { createMemoryStore, type Fault } from './memory.ts'
import { StorageError, type StorageErrorCode, storageErrors } from './object-store.ts'
import { isRetryable, waitAfter, withRetry } from './retry.ts'

/** A store whose calls fail as listed, one after the other, then work. */
function failing(faults: (Fault | undefined)[]) {
  let now = 0
  const waits: number[] = []
  const inner = createMemoryStore({ faults: () => faults.shift() })
  const store = withRetry(inner, {
    sleep: async (ms) => {
      waits.push(ms)
      now += ms
    },
    random: () => 1,
    now: () => now,
  })
  return { store, inner, waits }
}

const id = '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881' // SHA-256 of 'x'
const x = Buffer.from('x')
const fault = (code: StorageErrorCode, happened = false): Fault => ({ code, happened })

describe('whether a failure is worth another attempt', () => {
  test('is what the closed list says, except that truncation is given up after three', () => {
    for (const code of Object.keys(storageErrors) as StorageErrorCode[]) {
      expect(isRetryable(new StorageError(code, ''), 1)).toBe(storageErrors[code].retryable)
    }
    expect(isRetryable(new StorageError('truncated', ''), 3)).toBe(false)
    expect(isRetryable(new StorageError('busy', ''), 300)).toBe(true)
  })

  test('is never answered yes for what is not a storage error', () => {
    for (const error of [
      new Error('bug'),
      new TypeError(),
      undefined,
      'busy',
      { code: 'busy', retryable: true },
    ]) {
      expect(isRetryable(error, 1)).toBe(false)
    }
  })
})

describe('the wait', () => {
  test('doubles up to a minute and is anything below that by chance', () => {
    const most = Array.from({ length: 10 }, (_, i) => waitAfter(i + 1, () => 1))
    expect(most).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000])
    expect(waitAfter(5, () => 0)).toBe(0)
    expect(waitAfter(5, () => 0.25)).toBe(2000)
  })
})

describe('a store that tries again', () => {
  test('succeeds after failures that did not happen and after such that did', async () => {
    for (const happened of [false, true]) {
      const { store, inner, waits } = failing([
        fault('busy', happened),
        fault('unreachable', happened),
      ])
      await store.put(`locks/${id}`, id, x)
      expect(inner.objects.size).toBe(1)
      expect(waits).toEqual([500, 1000])
    }
  })

  test('repeats every kind of call, and hands out a listing only when it is whole', async () => {
    const { store, inner } = failing([])
    await store.put(`locks/${id}`, id, x)
    const bad = failing(Array.from({ length: 4 }, () => fault('busy')))
    bad.inner.objects.set(`locks/${id}`, x)
    expect(Buffer.from(await bad.store.get(`locks/${id}`)).toString()).toBe('x')
    expect(await bad.store.head(`locks/${id}`)).toBe(1)
    const listed = []
    for await (const object of bad.store.list('locks/')) listed.push(object)
    expect(listed).toEqual([{ key: `locks/${id}`, bytes: 1 }])
    await bad.store.remove(`locks/${id}`)
    expect(bad.inner.objects.size).toBe(0)
    expect(inner.objects.size).toBe(1)
  })

  test('does not wait for what cannot get better', async () => {
    for (const code of ['exists', 'absent', 'denied'] as const) {
      const { store, waits } = failing([fault(code)])
      await expect(store.get(`locks/${id}`)).rejects.toMatchObject({ code })
      expect(waits).toEqual([])
    }
  })

  test('gives up with the last cause when patience runs out', async () => {
    const { store, waits } = failing(Array.from({ length: 99 }, () => fault('unreachable')))
    await expect(store.head('config')).rejects.toMatchObject({ code: 'unreachable' })
    const waited = waits.reduce((a, b) => a + b)
    expect(waited).toBeGreaterThan(14 * 60_000)
    expect(waited).toBeLessThanOrEqual(15 * 60_000)
  })
})
