// What every object store must do, whatever lies behind it.

import { createHash, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ObjectStore } from '../../agent/storage/object-store.ts'

export interface StoreUnderTest {
  /** A store that holds nothing. */
  readonly store: ObjectStore
  close?(): Promise<void> | void
  /** Cases this store cannot pass, each with the reason. */
  readonly exceptions?: { readonly [testName: string]: string }
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

async function codeOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => 'none',
    (error) => error.code,
  )
}

/** Run the contract of `ObjectStore` against a fresh store. */
export function storeConformance(name: string, make: () => Promise<StoreUnderTest>): void {
  describe(`the object store ${name}`, () => {
    let made: StoreUnderTest
    let store: ObjectStore
    beforeAll(async () => {
      made = await make()
      store = made.store
    })
    afterAll(() => made.close?.())

    const conforms = (what: string, work: () => Promise<void>) =>
      test(what, async ({ skip }) => {
        const reason = made.exceptions?.[what]
        if (reason !== undefined) skip(reason)
        await work()
      })

    const fresh = (bytes = randomBytes(1000)) => {
      const id = sha256(bytes)
      return { id, bytes, key: `data/${id.slice(0, 2)}/${id}` }
    }

    conforms('gives back what it was given, whole and by range', async () => {
      const { id, key, bytes } = fresh(randomBytes(100_000))
      await store.put(key, id, bytes)
      expect(Buffer.from(await store.get(key)).equals(bytes)).toBe(true)
      for (const [offset, length] of [
        [0, 1],
        [99_999, 1],
        [500, 70_000],
        [0, 100_000],
      ] as const) {
        const part = Buffer.from(await store.get(key, { offset, length }))
        expect(part.equals(bytes.subarray(offset, offset + length))).toBe(true)
      }
      expect(await store.head(key)).toBe(bytes.length)
    })

    conforms('takes the same bytes again, and other bytes never', async () => {
      const { id, key, bytes } = fresh()
      await store.put(key, id, bytes)
      await store.put(key, id, bytes)
      const other = randomBytes(1000)
      expect(await codeOf(store.put(key, sha256(other), other))).toBe('exists')
      expect(Buffer.from(await store.get(key)).equals(bytes)).toBe(true)
    })

    conforms('refuses bytes that are not the ones announced', async () => {
      const { id, key } = fresh()
      expect(await codeOf(store.put(key, id, randomBytes(1000)))).toBe('corrupt')
      expect(await store.head(key)).toBeUndefined()
    })

    conforms('says that an object is absent', async () => {
      const { key } = fresh()
      expect(await codeOf(store.get(key))).toBe('absent')
      expect(await codeOf(store.get(key, { offset: 0, length: 1 }))).toBe('absent')
      expect(await store.head(key)).toBeUndefined()
    })

    conforms('says that a range goes beyond the end', async () => {
      const { id, key, bytes } = fresh()
      await store.put(key, id, bytes)
      expect(await codeOf(store.get(key, { offset: 500, length: 501 }))).toBe('truncated')
      expect(await codeOf(store.get(key, { offset: 5000, length: 1 }))).toBe('truncated')
    })

    conforms('lists what is under a prefix, with sizes, and nothing else', async () => {
      const some = Array.from({ length: 5 }, (_, i) => fresh(randomBytes(100 + i)))
      const index = fresh()
      for (const { key, id, bytes } of some) await store.put(key, id, bytes)
      await store.put(`index/${index.id}`, index.id, index.bytes)
      const listed = new Map<string, number>()
      for await (const { key, bytes } of store.list('data/')) {
        expect(key.startsWith('data/')).toBe(true)
        expect(listed.has(key)).toBe(false)
        listed.set(key, bytes)
      }
      for (const { key, bytes } of some) expect(listed.get(key)).toBe(bytes.length)
      const all = []
      for await (const { key } of store.list('')) all.push(key)
      expect(all).toContain(`index/${index.id}`)
      expect(all.length).toBe(new Set(all).size)
      for await (const { key } of store.list('snapshots/')) expect(key).toBe('nothing')
    })

    conforms('removes locks, also such as are gone', async () => {
      const { id, bytes } = fresh()
      const key = `locks/${id}`
      await store.put(key, id, bytes)
      await store.remove(key)
      expect(await store.head(key)).toBeUndefined()
      await store.remove(key)
    })

    conforms('keeps one of many that put the same name at once', async () => {
      const bytes = Array.from({ length: 8 }, () => randomBytes(5000))
      const key = 'config'
      const ends = await Promise.all(bytes.map((b) => codeOf(store.put(key, sha256(b), b))))
      expect(ends.filter((code) => code === 'none').length).toBe(1)
      expect(ends.filter((code) => code === 'exists').length).toBe(7)
      const kept = Buffer.from(await store.get(key))
      expect(bytes[ends.indexOf('none')]!.equals(kept)).toBe(true)
    })
  })
}
