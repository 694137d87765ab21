// What the holder of a GET URL, or of none, could try; and odd spellings of every path.
import { describe, expect } from 'vitest'
import { sendExactly } from '../../control-plane/node/exact-request.ts'
import { createSeeded } from '../support/seeded.ts'
import { type Bench, isRefusal, latin1, pairs, somePack } from './bench.ts'
import { head, rawHttp } from './raw-http.ts'

export function describeReadAttacks(bench: Bench): void {
  const { test, stored, put, get, everything } = bench
  describe('attacks on a GET URL', () => {
    test('it serves no other method', async () => {
      const pack = somePack()
      await put(await bench.subject.objects.signPut(pack.wanted), pack.bytes)
      const grant = await bench.subject.objects.signGet({ key: pack.key, seconds: 60 })
      const before = await everything()
      for (const method of ['PUT', 'POST', 'DELETE', 'HEAD']) {
        const body = method === 'PUT' || method === 'POST' ? { body: pack.bytes } : {}
        const headers: [string, string][] = 'body' in body ? [['content-length', '300']] : []
        const answer = await sendExactly({ method, url: grant.url, headers, ...body })
        expect([method, isRefusal(answer)]).toEqual([method, true])
      }
      expect(await everything()).toEqual(before)
    })

    test('it serves no other object', async () => {
      const mine = somePack()
      const theirs = somePack()
      for (const { wanted, bytes } of [mine, theirs]) {
        await put(await bench.subject.objects.signPut(wanted), bytes)
      }
      const grant = await bench.subject.objects.signGet({ key: mine.key, seconds: 60 })
      const answer = await get({ ...grant, url: grant.url.replace(mine.key, theirs.key) })
      expect(isRefusal(answer)).toBe(true)
    })

    test('it ends when it expires', async () => {
      const pack = somePack()
      await put(await bench.subject.objects.signPut(pack.wanted), pack.bytes)
      const grant = await bench.subject.signGet(
        { key: pack.key, seconds: 60 },
        Date.now() - 3_600_000,
      )
      expect((await get(grant)).status).toBe(403)
    })

    test('without a URL nothing is read, written or listed', async () => {
      const pack = somePack()
      const { url } = await bench.subject.objects.signPut(pack.wanted)
      await put(await bench.subject.objects.signPut(pack.wanted), pack.bytes)
      const bare = url.replace(/\?.*/, '')
      const before = await everything()
      for (const target of [bare, bare.replace(/\/repositories\/.*/, '/'), new URL(bare).origin]) {
        for (const method of ['GET', 'PUT', 'DELETE']) {
          const answer = await sendExactly({
            method,
            url: target,
            headers: method === 'PUT' ? [['content-length', '3']] : [],
            ...(method === 'PUT' ? { body: new Uint8Array(3) } : {}),
          })
          const text = Buffer.from(answer.body).toString('latin1')
          expect(text).not.toContain(pack.wanted.sha256.slice(0, 32))
          expect([method, target, text.includes('<Contents>')]).toEqual([method, target, false])
        }
      }
      expect(await everything()).toEqual(before)
    })
  })
  describe('path tricks', () => {
    test('no spelling of a path reaches what was not signed', async () => {
      const pack = somePack()
      const victim = somePack()
      await put(await bench.subject.objects.signPut(victim.wanted), victim.bytes)
      const grant = await bench.subject.objects.signPut(pack.wanted)
      const read = await bench.subject.objects.signGet({ key: pack.key, seconds: 60 })
      const before = await everything()
      const tricks = (path: string) => {
        const at = path.indexOf('/repositories/')
        const start = path.slice(0, at)
        const rest = path.slice(at)
        const [, , repository = ''] = rest.split('/')
        const [, theirs = ''] = victim.key.split('/')
        return [
          `${start}/repositories/${repository}/../${theirs}/config`,
          `${start}/repositories/${repository}/%2e%2e/${theirs}/config`,
          `${start}/repositories/${repository}/%2E%2E%2F${theirs}/config`,
          `${start}/${victim.key}`,
          `${start}//${victim.key}`,
          `/${start}${rest}`,
          `${start}/.${rest}`,
          `${start}/../..${rest}`,
          `${start}${rest}/../../../../../etc/passwd`,
          `${start}${rest}%00.txt`,
          `${start}${rest}/`,
          `${start}${rest}%2f`,
          `${start}${rest}\\..\\x`,
          `${start}${rest.replaceAll('/', '%2f')}`,
          `${start}${rest.replaceAll('/', '//')}`,
          `${start}${rest.toUpperCase()}`,
          `${start}${rest};x=y`,
          `${start}${rest}%20`,
          `${start}/repositories/${repository}/./config`,
          `${start}/repositories/${repository}/config%0d%0aX-Evil:1`,
          `${start}/%72epositories/${repository}/config`,
          `${start}/.incoming/x`,
        ]
      }
      const put1 = new URL(grant.url)
      for (const path of tricks(put1.pathname)) {
        for (const target of [path + put1.search, `${put1.origin}${path}${put1.search}`]) {
          const line = head('PUT', target, [['Host', put1.host], ...pairs(grant)])
          const answer = await rawHttp(put1.origin, [line, pack.bytes])
          // Another spelling of the signed key itself is still the signed key; nothing else is.
          if (!isRefusal(answer)) expect(await stored(pack.key)).toEqual(pack.bytes)
        }
      }
      const now = await everything()
      now.delete(pack.key)
      expect(now).toEqual(before)
      const get1 = new URL(read.url)
      for (const path of tricks(get1.pathname)) {
        const line = head('GET', path + get1.search, [['Host', get1.host]])
        const answer = await rawHttp(get1.origin, [line])
        if (!isRefusal(answer)) expect(answer.text).toContain(latin1(pack.bytes))
        expect(answer.text).not.toContain(latin1(victim.bytes))
      }
    })

    test('sixty mutations of URLs and headers store nothing and read nothing', async () => {
      const random = createSeeded('urls')
      const pick = (count: number) => random.between(0, count - 1)
      const pack = somePack()
      const secret = somePack()
      await put(await bench.subject.objects.signPut(secret.wanted), secret.bytes)
      const grant = await bench.subject.objects.signPut(pack.wanted)
      const before = await everything()
      const { origin, host, pathname, search } = new URL(grant.url)
      const alphabet = '0123456789abcdefXYZ/.%?&=-_~ \t'
      for (let round = 0; round < 60; round++) {
        let target = pathname + search
        // Past the bucket or vault, where every character is signed.
        const from = pathname.indexOf('/repositories/') + 1
        for (let change = 0; change <= pick(3); change++) {
          const at = from + pick(target.length - from)
          const letter = alphabet[pick(alphabet.length)]!
          const kind = pick(3)
          target =
            kind === 0
              ? target.slice(0, at) + letter + target.slice(at + 1)
              : kind === 1
                ? target.slice(0, at) + letter + target.slice(at)
                : target.slice(0, at) + target.slice(at + 1)
        }
        if (target === pathname + search) continue
        const line = head('PUT', target, [['Host', host], ...pairs(grant)])
        const answer = await rawHttp(origin, [line, secret.bytes])
        expect([target, isRefusal(answer)]).toEqual([target, true])
      }
      expect(await everything()).toEqual(before)
    })
  })
}
