// What the control plane does with its own credentials.
import { randomBytes, randomUUID } from 'node:crypto'
import { describe, expect } from 'vitest'
import {
  configKey,
  escrowKey,
  indexKey,
  packKey,
  receiptKey,
  smallKey,
  vaultMarkerKey,
} from '../../shared/vault/layout.ts'
import { type Bench, sha256, somePack } from './bench.ts'

export function describeOwnCalls(bench: Bench): void {
  const { test, stored } = bench
  describe('the control plane’s own calls', () => {
    test('a small object is stored once; the same bytes again succeed, others do not', async () => {
      const key = configKey(randomUUID())
      const bytes = new Uint8Array(randomBytes(155))
      expect(await bench.subject.objects.put(key, bytes)).toBe('stored')
      expect(await bench.subject.objects.put(key, bytes)).toBe('stored')
      expect(await bench.subject.objects.put(key, new Uint8Array(155))).toBe('exists')
      expect(await bench.subject.objects.put(key, new Uint8Array(500))).toBe('exists')
      expect(await bench.subject.objects.put(key, bytes.subarray(0, 100))).toBe('exists')
      expect(await stored(key)).toEqual(bytes)
      expect(await bench.subject.objects.head(key)).toBe(155)
    })

    test('of eight writers of one name with other bytes, one is stored', async () => {
      const key = configKey(randomUUID())
      const bodies = Array.from({ length: 8 }, () => new Uint8Array(randomBytes(64)))
      const results = await Promise.all(bodies.map((body) => bench.subject.objects.put(key, body)))
      expect(results.filter((result) => result === 'stored')).toHaveLength(1)
      expect(await stored(key)).toEqual(bodies[results.indexOf('stored')])
    })

    test('absence is undefined, and too large is an error', async () => {
      const key = configKey(randomUUID())
      expect(await bench.subject.objects.head(key)).toBeUndefined()
      expect(await bench.subject.objects.get(key, 10)).toBeUndefined()
      await bench.subject.objects.put(key, new Uint8Array(11))
      await expect(bench.subject.objects.get(key, 10)).rejects.toMatchObject({ code: 'too-large' })
      expect(await bench.subject.objects.get(key, 11)).toEqual(new Uint8Array(11))
    })

    test('listings come in key order, in pages, by prefix', async () => {
      const repository = randomUUID()
      const keys: string[] = [configKey(repository)]
      for (let i = 0; i < 7; i++) {
        const hash = sha256(new Uint8Array([i]))
        keys.push(packKey(repository, hash), indexKey(repository, hash))
      }
      for (const key of keys)
        await bench.subject.objects.put(key, new Uint8Array(10 + keys.indexOf(key)))
      const listed: string[] = []
      let pages = 0
      let cursor: string | undefined
      do {
        const page = await bench.subject.objects.list(`repositories/${repository}/`, {
          limit: 4,
          ...(cursor ? { cursor } : {}),
        })
        expect(page.objects.length).toBeLessThanOrEqual(4)
        for (const { key, bytes, modifiedAt } of page.objects) {
          expect(bytes).toBe(10 + keys.indexOf(key))
          expect(Math.abs(modifiedAt - Date.now())).toBeLessThan(300_000)
          listed.push(key)
        }
        cursor = page.next
        pages++
      } while (cursor !== undefined)
      expect(listed).toEqual([...keys].sort())
      expect(pages).toBe(4)
      const indexes = await bench.subject.objects.list(`repositories/${repository}/index/`, {
        limit: 1_000,
      })
      expect(indexes.objects).toHaveLength(7)
      expect(indexes.next).toBeUndefined()
      const none = await bench.subject.objects.list(`repositories/${randomUUID()}/`, { limit: 10 })
      expect(none).toEqual({ objects: [] })
    })

    test('locks, probes and what a prune gave up may be removed, again and again; history may not', async () => {
      const repository = randomUUID()
      const lock = smallKey(repository, 'lock', 'ab'.repeat(32))
      await bench.subject.objects.put(lock, new Uint8Array(50))
      await bench.subject.objects.remove(lock)
      await bench.subject.objects.remove(lock)
      expect(await bench.subject.objects.head(lock)).toBeUndefined()
      expect(await bench.subject.objects.put(lock, new Uint8Array(60))).toBe('stored')
      const { key, bytes } = somePack()
      await bench.subject.objects.put(key, bytes)
      await bench.subject.objects.remove(key)
      expect(await bench.subject.objects.head(key)).toBeUndefined()
      const config = configKey(repository)
      await bench.subject.objects.put(config, bytes)
      for (const kept of [
        config,
        smallKey(repository, 'key', 'ab'.repeat(32)),
        escrowKey(repository, 1),
        receiptKey(repository, 1),
        vaultMarkerKey,
      ]) {
        await expect(bench.subject.objects.remove(kept)).rejects.toMatchObject({
          code: 'forbidden',
        })
      }
      expect(await stored(config)).toEqual(bytes)
    })

    test('keys that are not ours are refused everywhere', async () => {
      for (const key of [
        '',
        '..',
        '../x',
        '/etc/passwd',
        'repositories/x/config',
        'a\0b',
        'config',
      ]) {
        for (const call of [
          () => bench.subject.objects.head(key),
          () => bench.subject.objects.get(key, 10),
          () => bench.subject.objects.put(key, new Uint8Array(1)),
          () => bench.subject.objects.remove(key),
        ]) {
          await expect(call()).rejects.toMatchObject({ code: 'invalid' })
        }
      }
      await expect(bench.subject.objects.list('../', { limit: 10 })).rejects.toMatchObject({
        code: 'invalid',
      })
    })

    test('the store tells its time', async () => {
      expect(Math.abs((await bench.subject.objects.time()) - Date.now())).toBeLessThan(60_000)
    })
  })
}
