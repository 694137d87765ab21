import { expect, test } from 'vitest'
import { createMemoryStore, seededFaults } from './memory.ts'

const id = '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881' // SHA-256 of 'x'
const x = Buffer.from('x')

test('only locks are ever removed, unless a test allows more', async () => {
  const store = createMemoryStore()
  for (const key of ['config', `data/2d/${id}`, `snapshots/${id}`]) {
    await store.put(key, id, x)
    await expect(store.remove(key)).rejects.toMatchObject({ code: 'denied' })
  }
  const open = createMemoryStore({ mayRemove: () => true })
  await open.put('config', id, x)
  await open.remove('config')
  expect(open.objects.size).toBe(0)
})

test('what was stored is a copy, and so is what is handed out', async () => {
  const store = createMemoryStore()
  const bytes = Buffer.from('x')
  await store.put('config', id, bytes)
  bytes[0] = 0
  const got = await store.get('config')
  got[0] = 0
  expect(Buffer.from(await store.get('config')).toString()).toBe('x')
})

test('a fault fails the call before it happened, or after', async () => {
  for (const happened of [false, true]) {
    const faults = [{ happened, code: 'unreachable' as const }]
    const store = createMemoryStore({ faults: () => faults.shift() })
    await expect(store.put('config', id, x)).rejects.toMatchObject({ code: 'unreachable' })
    expect(store.objects.has('config')).toBe(happened)
  }
})

test('the same seed gives the same faults', async () => {
  const run = async () => {
    let state = 7
    const random = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return state / 2 ** 32
    }
    const store = createMemoryStore({ faults: seededFaults(random, 0.5) })
    const ends = []
    for (let i = 0; i < 50; i++) {
      ends.push(
        await store.head('config').then(
          () => 'ok',
          (error) => error.code,
        ),
      )
    }
    return ends
  }
  const first = await run()
  expect(new Set(first)).toEqual(new Set(['ok', 'busy', 'unreachable']))
  expect(await run()).toEqual(first)
})
