// What a signed URL does, and what is never signed.
import { randomBytes, randomUUID } from 'node:crypto'
import { describe, expect } from 'vitest'
import { configKey, indexKey, packKey, smallKey } from '../../shared/vault/layout.ts'
import { type Bench, md5, type Pack, sha256, somePack } from './bench.ts'

export function describeGrants(bench: Bench): void {
  const { test, put, get } = bench
  describe('by signed URL', () => {
    test('a right PUT is stored and read back, whole and by range', async () => {
      const pack = somePack()
      expect((await put(await bench.subject.objects.signPut(pack.wanted), pack.bytes)).status).toBe(
        200,
      )
      const grant = await bench.subject.objects.signGet({ key: pack.key, seconds: 60 })
      const whole = await get(grant)
      expect([whole.status, whole.body]).toEqual([200, pack.bytes])
      const range = await get(grant, [['Range', 'bytes=10-19']])
      expect([range.status, range.body]).toEqual([206, pack.bytes.subarray(10, 20)])
      expect(range.headers['content-range']).toBe('bytes 10-19/300')
      const tail = await get(grant, [['Range', 'bytes=-5']])
      expect([tail.status, tail.body]).toEqual([206, pack.bytes.subarray(295)])
      const rest = await get(grant, [['Range', 'bytes=290-']])
      expect([rest.status, rest.body]).toEqual([206, pack.bytes.subarray(290)])
      expect((await get(grant, [['Range', 'bytes=300-400']])).status).toBe(416)
    })

    test('an index file travels by URL too', async () => {
      const bytes = new Uint8Array(randomBytes(33))
      const key = indexKey(randomUUID(), sha256(bytes))
      const wanted = { key, bytes: 33, sha256: sha256(bytes), md5: md5(bytes), seconds: 60 }
      expect((await put(await bench.subject.objects.signPut(wanted), bytes)).status).toBe(200)
      expect(await bench.subject.objects.head(key)).toBe(33)
    })

    test('a pack of 16 MiB arrives whole', async () => {
      const pack = somePack(16 * 1_024 * 1_024)
      expect((await put(await bench.subject.objects.signPut(pack.wanted), pack.bytes)).status).toBe(
        200,
      )
      expect(await bench.subject.objects.head(pack.key)).toBe(pack.bytes.length)
      const read = await bench.subject.objects.get(pack.key, pack.bytes.length)
      expect(sha256(read!)).toBe(pack.wanted.sha256)
      // Written again with its whole body, it answers 412 and not a reset.
      expect((await put(await bench.subject.objects.signPut(pack.wanted), pack.bytes)).status).toBe(
        412,
      )
    })

    test('what is absent answers 404', async () => {
      const grant = await bench.subject.objects.signGet({ key: somePack().key, seconds: 60 })
      expect((await get(grant)).status).toBe(404)
    })

    test('Expect: 100-continue is served', async () => {
      const pack = somePack()
      const grant = await bench.subject.objects.signPut(pack.wanted)
      expect((await put(grant, pack.bytes, [['Expect', '100-continue']])).status).toBe(200)
    })
  })
  describe('what is never signed', () => {
    const refused = async (change: Partial<Pack['wanted']>) => {
      await expect(
        bench.subject.objects.signPut({ ...somePack().wanted, ...change }),
      ).rejects.toMatchObject({
        code: 'invalid',
      })
    }
    test('a pack or index below its least size', async () => {
      await refused({ bytes: 72 })
      await refused({ bytes: 0 })
      await refused({ bytes: -1 })
      await refused({ bytes: 1.5 })
      const { wanted } = somePack()
      await refused({
        key: indexKey(randomUUID(), wanted.sha256),
        sha256: wanted.sha256,
        bytes: 32,
      })
    })
    test('an empty body', async () => {
      const nothing = sha256(new Uint8Array(0))
      await refused({ key: packKey(randomUUID(), nothing), sha256: nothing })
    })
    test('a hash that is not the name', () => refused({ sha256: 'ab'.repeat(32) }))
    test('small objects, odd keys and odd lives', async () => {
      const hash = 'cd'.repeat(32)
      await refused({ key: configKey(randomUUID()) })
      await refused({ key: smallKey(randomUUID(), 'snapshot', hash), sha256: hash })
      await refused({ key: '../../etc/passwd' })
      await refused({ key: `${somePack().key}\0` })
      await refused({ seconds: 0 })
      await refused({ seconds: 10_000_000 })
      await expect(bench.subject.objects.signGet({ key: '/x', seconds: 60 })).rejects.toMatchObject(
        {
          code: 'invalid',
        },
      )
    })
  })
}
