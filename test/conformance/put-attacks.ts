// What the holder of a PUT URL could try with bytes, lengths, names, methods and time.
import { randomBytes } from 'node:crypto'
import { describe, expect } from 'vitest'
import { sendExactly } from '../../control-plane/node/exact-request.ts'
import type { ExactAnswer } from '../../control-plane/ports/exact-request.ts'
import { type Bench, isRefusal, pairs, somePack } from './bench.ts'
import { head, rawHttp } from './raw-http.ts'

export function describePutAttacks(bench: Bench): void {
  const { test, stored, put, expectNothingStored } = bench
  describe('attacks on a PUT URL', () => {
    test('other bytes of the same length are refused', () =>
      expectNothingStored(async (grant) => {
        const answer = await put(grant, new Uint8Array(randomBytes(300)))
        expect(answer.status).toBe(400)
        return answer
      }))

    test('a longer body that states its length is refused', () =>
      expectNothingStored((grant, { bytes }) =>
        sendExactly({
          method: 'PUT',
          url: grant.url,
          headers: pairs(grant).map(([n, v]) => [n, n === 'content-length' ? '301' : v]),
          body: new Uint8Array([...bytes, 0]),
        }),
      ))

    test('a shorter body that states its length is refused', () =>
      expectNothingStored((grant, { bytes }) =>
        sendExactly({
          method: 'PUT',
          url: grant.url,
          headers: pairs(grant).map(([n, v]) => [n, n === 'content-length' ? '299' : v]),
          body: bytes.subarray(0, 299),
        }),
      ))

    test('a cut connection stores nothing, and the grant still works', () =>
      expectNothingStored(async (grant, { bytes }) => {
        const request = { method: 'PUT', url: grant.url, headers: pairs(grant), body: bytes }
        const answer = await sendExactly({ ...request, cutAfter: 200 })
        await new Promise((done) => setTimeout(done, 200))
        return answer
      }))

    test('bytes after the signed length are not stored', async () => {
      const pack = somePack()
      const grant = await bench.subject.objects.signPut(pack.wanted)
      const { origin, host, pathname, search } = new URL(grant.url)
      const line = head('PUT', pathname + search, [['Host', host], ...pairs(grant)])
      await rawHttp(origin, [line, pack.bytes, randomBytes(50)])
      // Ceph stores what was signed, Node's parser ends the whole exchange: both are right.
      expect([undefined, pack.bytes]).toContainEqual(await stored(pack.key))
    })

    test('a replay answers 412 and changes nothing', async () => {
      const pack = somePack()
      const grant = await bench.subject.objects.signPut(pack.wanted)
      expect((await put(grant, pack.bytes)).status).toBe(200)
      expect((await put(grant, pack.bytes)).status).toBe(412)
      expect((await put(grant, new Uint8Array(300))).status).toSatisfy((status) =>
        [400, 412].includes(status as number),
      )
      expect(await stored(pack.key)).toEqual(pack.bytes)
    })

    test('of eight at once one is stored and seven answer 412', async () => {
      const pack = somePack()
      const grant = await bench.subject.objects.signPut(pack.wanted)
      const answers = await Promise.all(Array.from({ length: 8 }, () => put(grant, pack.bytes)))
      const statuses = answers.map(({ status }) => status).sort()
      expect(statuses).toEqual([200, 412, 412, 412, 412, 412, 412, 412])
      expect(await stored(pack.key)).toEqual(pack.bytes)
    })

    test('another key is refused, in the same repository and in a stranger’s', () =>
      expectNothingStored(async (grant, pack) => {
        const other = somePack()
        const [, repository = ''] = pack.key.split('/')
        const [, stranger = ''] = other.key.split('/')
        const urls = [
          grant.url.replace(repository, stranger),
          grant.url.replaceAll(pack.wanted.sha256, other.wanted.sha256),
          grant.url.replace(/\/data\/[0-9a-f]{2}\/[0-9a-f]{64}/, '/config'),
          grant.url.replace('/data/', '/snapshots/'),
        ]
        const answers: ExactAnswer[] = []
        for (const url of urls) {
          for (const body of [pack.bytes, other.bytes])
            answers.push(await put({ ...grant, url }, body))
        }
        expect(answers.filter((answer) => !isRefusal(answer))).toEqual([])
        return answers[0]!
      }))

    test('other methods are refused', () =>
      expectNothingStored(async (grant, { bytes }) => {
        const answers: ExactAnswer[] = []
        for (const method of ['GET', 'HEAD', 'DELETE', 'POST', 'PATCH', 'COPY', 'OPTIONS']) {
          const body = ['POST', 'PATCH'].includes(method) ? { body: bytes } : {}
          const headers = 'body' in body ? pairs(grant) : []
          answers.push(await sendExactly({ method, url: grant.url, headers, ...body }))
        }
        expect(answers.filter((answer) => !isRefusal(answer))).toEqual([])
        return answers[0]!
      }))

    test('an expired URL is refused', () =>
      expectNothingStored(async (_grant, pack) => {
        const hourAgo = Date.now() - 3_600_000
        const wanted = { ...pack.wanted, seconds: 60 }
        return put(await bench.subject.signPut(wanted, bench.subject.pins, hourAgo), pack.bytes)
      }))

    test('a raised expiry is refused', () =>
      expectNothingStored(async (_grant, pack) => {
        const hourAgo = Date.now() - 3_600_000
        const wanted = { ...pack.wanted, seconds: 60 }
        const grant = await bench.subject.signPut(wanted, bench.subject.pins, hourAgo)
        const url = grant.url.replace(
          /([Ee]xpires=)[0-9]+/,
          `$1${grant.url.includes('X-Amz') ? 7_200 : 9_999_999_999}`,
        )
        expect(url).not.toBe(grant.url)
        return put({ ...grant, url }, pack.bytes)
      }))

    test('a signature with one digit changed, taken from another URL, or left out is refused', () =>
      expectNothingStored(async (grant, pack) => {
        const other = await bench.subject.objects.signPut(somePack().wanted)
        const signature = /[Ss]ignature=([0-9a-f]+)/
        const theirs = signature.exec(other.url)![1]!
        const ours = signature.exec(grant.url)![1]!
        const flipped = (ours[0] === '0' ? '1' : '0') + ours.slice(1)
        const answers: ExactAnswer[] = []
        for (const wrong of [
          theirs,
          flipped,
          '',
          '0'.repeat(64),
          ours.slice(1),
          ours.toUpperCase(),
        ]) {
          if (wrong === ours) continue
          answers.push(await put({ ...grant, url: grant.url.replace(ours, wrong) }, pack.bytes))
        }
        answers.push(await put({ ...grant, url: grant.url.replace(/\?.*/, '') }, pack.bytes))
        expect(answers.filter((answer) => !isRefusal(answer))).toEqual([])
        return answers[0]!
      }))

    test('added query parameters are refused', () =>
      expectNothingStored(async (grant, pack) => {
        const answers: ExactAnswer[] = []
        for (const added of ['&acl', '&x=1', '&uploads', '&partNumber=1&uploadId=x', '&tagging']) {
          answers.push(await put({ ...grant, url: grant.url + added }, pack.bytes))
        }
        expect(answers.filter((answer) => !isRefusal(answer))).toEqual([])
        return answers[0]!
      }))

    test('a chunked body without a length is refused', () =>
      expectNothingStored((grant, { bytes }) =>
        sendExactly({
          method: 'PUT',
          url: grant.url,
          headers: pairs(grant).filter(([n]) => n !== 'content-length'),
          body: bytes,
          chunked: true,
        }),
      ))

    test('a chunked body beside the signed length is refused', () =>
      expectNothingStored(async (grant, { bytes }) => {
        const { origin, host, pathname, search } = new URL(grant.url)
        const line = head('PUT', pathname + search, [
          ['Host', host],
          ...pairs(grant),
          ['Transfer-Encoding', 'chunked'],
        ])
        const longer = new Uint8Array([...bytes, 1, 2, 3, 4, 5])
        return rawHttp(origin, [line, `${longer.length.toString(16)}\r\n`, longer, '\r\n0\r\n\r\n'])
      }))

    test('two lengths are refused', () =>
      expectNothingStored(async (grant, { bytes }) => {
        const { origin, host, pathname, search } = new URL(grant.url)
        const answers = []
        for (const lengths of [
          ['300', '301'],
          ['301', '300'],
        ]) {
          const others = pairs(grant).filter(([n]) => n !== 'content-length')
          const line = head('PUT', pathname + search, [
            ['Host', host],
            ...others,
            ...lengths.map((length) => ['Content-Length', length] as const),
          ])
          answers.push(await rawHttp(origin, [line, bytes, 'x']))
        }
        expect(answers.filter((answer) => !isRefusal(answer))).toEqual([])
        return answers[0]!
      }))
  })
}
