// What every vault must do and refuse, whoever serves it: the port's contract and the attack list.
// One suite for all implementations; a case may be skipped only with a written reason.
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sendExactly } from '../../control-plane/node/exact-request.ts'
import type { ExactAnswer } from '../../control-plane/ports/exact-request.ts'
import type { SignedUrl } from '../../control-plane/ports/objects.ts'
import type { VaultSubject } from '../../control-plane/ports/vault-subject.ts'
import { configKey, indexKey, packKey, smallKey } from '../../shared/vault/layout.ts'
import { createSeeded } from '../support/seeded.ts'
import { head, rawHttp } from './raw-http.ts'

export interface ConformanceRun {
  readonly subject: VaultSubject
  stop(): Promise<void>
}

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex')
const pairs = ({ headers }: SignedUrl) => Object.entries(headers)
const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')
const isRefusal = (answer: { status: number }) => answer.status === 0 || answer.status >= 400

/** A pack of random bytes with a key of its own in a fresh repository. */
function somePack(length = 300) {
  const bytes = new Uint8Array(randomBytes(length))
  const key = packKey(randomUUID(), sha256(bytes))
  return {
    key,
    bytes,
    wanted: { key, bytes: length, sha256: sha256(bytes), md5: md5(bytes), seconds: 300 },
  }
}

/**
 * Runs the suite on what `start` makes. `skips` names cases (by their title) that this implementation
 * cannot pass, each with the reason; a title that no case has fails the run.
 */
export function describeObjects(
  name: string,
  start: () => Promise<ConformanceRun>,
  skips: Readonly<Record<string, string>> = {},
): void {
  const met = new Set<string>()
  const test = (title: string, run: () => Promise<void>) => {
    met.add(title)
    const reason = skips[title]
    if (reason === undefined) it(title, run)
    else it.skip(`${title} (skipped: ${reason})`, run)
  }

  describe(`the vault contract, ${name}`, () => {
    let subject: VaultSubject
    let stop: () => Promise<void>
    beforeAll(async () => {
      const run = await start()
      subject = run.subject
      stop = run.stop
    })
    afterAll(async () => {
      await stop()
      expect(Object.keys(skips).filter((title) => !met.has(title))).toEqual([])
    })

    const stored = async (key: string) => subject.objects.get(key, 10_000_000)
    const put = (grant: SignedUrl, body: Uint8Array, extra: [string, string][] = []) =>
      sendExactly({ method: 'PUT', url: grant.url, headers: [...pairs(grant), ...extra], body })
    const get = (grant: SignedUrl, extra: [string, string][] = []) =>
      sendExactly({ method: 'GET', url: grant.url, headers: extra })
    /** Every key with the hash of its bytes, to be compared before and after an attack. */
    const everything = async () => {
      const all = new Map<string, string>()
      let cursor: string | undefined
      do {
        const page = await subject.objects.list('', { limit: 1_000, ...(cursor ? { cursor } : {}) })
        const facts = page.objects.map(async ({ key, bytes }) => {
          // Attacks are made with small bodies: large objects are told by their size.
          return [key, bytes > 100_000 ? `${bytes}` : sha256((await stored(key))!)] as const
        })
        for (const [key, fact] of await Promise.all(facts)) all.set(key, fact)
        cursor = page.next
      } while (cursor !== undefined)
      return all
    }
    /** Tries an attack on a signed PUT and asserts that nothing came of it. */
    const expectNothingStored = async (
      attack: (grant: SignedUrl, pack: ReturnType<typeof somePack>) => Promise<{ status: number }>,
    ) => {
      const pack = somePack()
      const grant = await subject.objects.signPut(pack.wanted)
      const before = await everything()
      const answer = await attack(grant, pack)
      expect(answer.status, `answered ${answer.status}`).toSatisfy(() => isRefusal(answer))
      expect(await everything()).toEqual(before)
      // The grant itself is still good: nothing was spent by the attempt.
      expect((await put(grant, pack.bytes)).status).toBe(200)
      expect(await stored(pack.key)).toEqual(pack.bytes)
    }

    describe('by signed URL', () => {
      test('a right PUT is stored and read back, whole and by range', async () => {
        const pack = somePack()
        expect((await put(await subject.objects.signPut(pack.wanted), pack.bytes)).status).toBe(200)
        const grant = await subject.objects.signGet({ key: pack.key, seconds: 60 })
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
        expect((await put(await subject.objects.signPut(wanted), bytes)).status).toBe(200)
        expect(await subject.objects.head(key)).toBe(33)
      })

      test('a pack of 16 MiB arrives whole', async () => {
        const pack = somePack(16 * 1_024 * 1_024)
        expect((await put(await subject.objects.signPut(pack.wanted), pack.bytes)).status).toBe(200)
        expect(await subject.objects.head(pack.key)).toBe(pack.bytes.length)
        const read = await subject.objects.get(pack.key, pack.bytes.length)
        expect(sha256(read!)).toBe(pack.wanted.sha256)
        // Written again with its whole body, it answers 412 and not a reset.
        expect((await put(await subject.objects.signPut(pack.wanted), pack.bytes)).status).toBe(412)
      })

      test('what is absent answers 404', async () => {
        const grant = await subject.objects.signGet({ key: somePack().key, seconds: 60 })
        expect((await get(grant)).status).toBe(404)
      })

      test('Expect: 100-continue is served', async () => {
        const pack = somePack()
        const grant = await subject.objects.signPut(pack.wanted)
        expect((await put(grant, pack.bytes, [['Expect', '100-continue']])).status).toBe(200)
      })
    })

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
        const grant = await subject.objects.signPut(pack.wanted)
        const { origin, host, pathname, search } = new URL(grant.url)
        const line = head('PUT', pathname + search, [['Host', host], ...pairs(grant)])
        await rawHttp(origin, [line, pack.bytes, randomBytes(50)])
        // Ceph stores what was signed, Node's parser ends the whole exchange: both are right.
        expect([undefined, pack.bytes]).toContainEqual(await stored(pack.key))
      })

      test('a replay answers 412 and changes nothing', async () => {
        const pack = somePack()
        const grant = await subject.objects.signPut(pack.wanted)
        expect((await put(grant, pack.bytes)).status).toBe(200)
        expect((await put(grant, pack.bytes)).status).toBe(412)
        expect((await put(grant, new Uint8Array(300))).status).toSatisfy((status) =>
          [400, 412].includes(status as number),
        )
        expect(await stored(pack.key)).toEqual(pack.bytes)
      })

      test('of eight at once one is stored and seven answer 412', async () => {
        const pack = somePack()
        const grant = await subject.objects.signPut(pack.wanted)
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
          return put(await subject.signPut(wanted, subject.pins, hourAgo), pack.bytes)
        }))

      test('a raised expiry is refused', () =>
        expectNothingStored(async (_grant, pack) => {
          const hourAgo = Date.now() - 3_600_000
          const wanted = { ...pack.wanted, seconds: 60 }
          const grant = await subject.signPut(wanted, subject.pins, hourAgo)
          const url = grant.url.replace(
            /([Ee]xpires=)[0-9]+/,
            `$1${grant.url.includes('X-Amz') ? 7_200 : 9_999_999_999}`,
          )
          expect(url).not.toBe(grant.url)
          return put({ ...grant, url }, pack.bytes)
        }))

      test('a signature with one digit changed, taken from another URL, or left out is refused', () =>
        expectNothingStored(async (grant, pack) => {
          const other = await subject.objects.signPut(somePack().wanted)
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
          for (const added of [
            '&acl',
            '&x=1',
            '&uploads',
            '&partNumber=1&uploadId=x',
            '&tagging',
          ]) {
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
          return rawHttp(origin, [
            line,
            `${longer.length.toString(16)}\r\n`,
            longer,
            '\r\n0\r\n\r\n',
          ])
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

      test('a signed header left out is refused', () =>
        expectNothingStored(async (grant, { bytes }) => {
          const answers: ExactAnswer[] = []
          for (const [without] of pairs(grant)) {
            const headers = pairs(grant).filter(([n]) => n !== without)
            answers.push(await sendExactly({ method: 'PUT', url: grant.url, headers, body: bytes }))
          }
          expect(answers.filter((answer) => !isRefusal(answer))).toEqual([])
          return answers[0]!
        }))

      test('a smuggled copy of another object steals nothing', async () => {
        const secret = somePack()
        await put(await subject.objects.signPut(secret.wanted), secret.bytes)
        const source = subject.copySource(secret.key) ?? `/${secret.key}`
        await expectNothingStored((grant, { bytes }) =>
          put(grant, bytes, [['x-amz-copy-source', source]]),
        )
        await expectNothingStored((grant) =>
          sendExactly({
            method: 'PUT',
            url: grant.url,
            headers: [...pairs(grant), ['x-amz-copy-source', source]],
            cutAfter: 0,
          }),
        )
      })

      test('nobody is let in by an access-control header', () =>
        expectNothingStored(async (grant, { bytes }) => {
          const answers = [
            await put(
              { ...grant, headers: { ...grant.headers, 'x-amz-acl': 'public-read' } },
              bytes,
            ),
            await put(grant, bytes, [['x-amz-acl', 'public-read-write']]),
            await put(grant, bytes, [
              ['x-amz-grant-read', 'uri="http://acs.amazonaws.com/groups/global/AllUsers"'],
            ]),
          ]
          expect(answers.filter((answer) => !isRefusal(answer))).toEqual([])
          return answers[0]!
        }))

      for (const [header, value] of [
        ['x-amz-meta-owner', 'somebody'],
        ['x-amz-tagging', 'cost=high'],
        ['x-amz-storage-class', 'GLACIER'],
        ['x-amz-website-redirect-location', 'https://example.com/'],
      ] as const) {
        test(`unsigned ${header} is refused`, () =>
          expectNothingStored((grant, { bytes }) => put(grant, bytes, [[header, value]])))
      }

      test('an unsigned lock on the object is refused', () =>
        expectNothingStored((grant, { bytes }) =>
          put(grant, bytes, [
            ['x-amz-object-lock-mode', 'GOVERNANCE'],
            ['x-amz-object-lock-retain-until-date', new Date(Date.now() + 60_000).toISOString()],
          ]),
        ))

      test('a method override is not listened to', async () => {
        const pack = somePack()
        await put(await subject.objects.signPut(pack.wanted), pack.bytes)
        const grant = await subject.objects.signGet({ key: pack.key, seconds: 60 })
        await get(grant, [['X-HTTP-Method-Override', 'DELETE']])
        expect(await stored(pack.key)).toEqual(pack.bytes)
      })
    })

    describe('attacks on a GET URL', () => {
      test('it serves no other method', async () => {
        const pack = somePack()
        await put(await subject.objects.signPut(pack.wanted), pack.bytes)
        const grant = await subject.objects.signGet({ key: pack.key, seconds: 60 })
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
          await put(await subject.objects.signPut(wanted), bytes)
        }
        const grant = await subject.objects.signGet({ key: mine.key, seconds: 60 })
        const answer = await get({ ...grant, url: grant.url.replace(mine.key, theirs.key) })
        expect(isRefusal(answer)).toBe(true)
      })

      test('it ends when it expires', async () => {
        const pack = somePack()
        await put(await subject.objects.signPut(pack.wanted), pack.bytes)
        const grant = await subject.signGet({ key: pack.key, seconds: 60 }, Date.now() - 3_600_000)
        expect((await get(grant)).status).toBe(403)
      })

      test('without a URL nothing is read, written or listed', async () => {
        const pack = somePack()
        const { url } = await subject.objects.signPut(pack.wanted)
        await put(await subject.objects.signPut(pack.wanted), pack.bytes)
        const bare = url.replace(/\?.*/, '')
        const before = await everything()
        for (const target of [
          bare,
          bare.replace(/\/repositories\/.*/, '/'),
          new URL(bare).origin,
        ]) {
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
        await put(await subject.objects.signPut(victim.wanted), victim.bytes)
        const grant = await subject.objects.signPut(pack.wanted)
        const read = await subject.objects.signGet({ key: pack.key, seconds: 60 })
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
        await put(await subject.objects.signPut(secret.wanted), secret.bytes)
        const grant = await subject.objects.signPut(pack.wanted)
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

    describe('what is never signed', () => {
      const refused = async (change: Partial<ReturnType<typeof somePack>['wanted']>) => {
        await expect(
          subject.objects.signPut({ ...somePack().wanted, ...change }),
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
        await expect(subject.objects.signGet({ key: '/x', seconds: 60 })).rejects.toMatchObject({
          code: 'invalid',
        })
      })
    })

    describe('the control plane’s own calls', () => {
      test('a small object is stored once; the same bytes again succeed, others do not', async () => {
        const key = configKey(randomUUID())
        const bytes = new Uint8Array(randomBytes(155))
        expect(await subject.objects.put(key, bytes)).toBe('stored')
        expect(await subject.objects.put(key, bytes)).toBe('stored')
        expect(await subject.objects.put(key, new Uint8Array(155))).toBe('exists')
        expect(await subject.objects.put(key, new Uint8Array(500))).toBe('exists')
        expect(await subject.objects.put(key, bytes.subarray(0, 100))).toBe('exists')
        expect(await stored(key)).toEqual(bytes)
        expect(await subject.objects.head(key)).toBe(155)
      })

      test('of eight writers of one name with other bytes, one is stored', async () => {
        const key = configKey(randomUUID())
        const bodies = Array.from({ length: 8 }, () => new Uint8Array(randomBytes(64)))
        const results = await Promise.all(bodies.map((body) => subject.objects.put(key, body)))
        expect(results.filter((result) => result === 'stored')).toHaveLength(1)
        expect(await stored(key)).toEqual(bodies[results.indexOf('stored')])
      })

      test('absence is undefined, and too large is an error', async () => {
        const key = configKey(randomUUID())
        expect(await subject.objects.head(key)).toBeUndefined()
        expect(await subject.objects.get(key, 10)).toBeUndefined()
        await subject.objects.put(key, new Uint8Array(11))
        await expect(subject.objects.get(key, 10)).rejects.toMatchObject({ code: 'too-large' })
        expect(await subject.objects.get(key, 11)).toEqual(new Uint8Array(11))
      })

      test('listings come in key order, in pages, by prefix', async () => {
        const repository = randomUUID()
        const keys: string[] = [configKey(repository)]
        for (let i = 0; i < 7; i++) {
          const hash = sha256(new Uint8Array([i]))
          keys.push(packKey(repository, hash), indexKey(repository, hash))
        }
        for (const key of keys)
          await subject.objects.put(key, new Uint8Array(10 + keys.indexOf(key)))
        const listed: string[] = []
        let pages = 0
        let cursor: string | undefined
        do {
          const page = await subject.objects.list(`repositories/${repository}/`, {
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
        const indexes = await subject.objects.list(`repositories/${repository}/index/`, {
          limit: 1_000,
        })
        expect(indexes.objects).toHaveLength(7)
        expect(indexes.next).toBeUndefined()
        const none = await subject.objects.list(`repositories/${randomUUID()}/`, { limit: 10 })
        expect(none).toEqual({ objects: [] })
      })

      test('locks and probes may be removed, again and again; history may not', async () => {
        const repository = randomUUID()
        const lock = smallKey(repository, 'lock', 'ab'.repeat(32))
        await subject.objects.put(lock, new Uint8Array(50))
        await subject.objects.remove(lock)
        await subject.objects.remove(lock)
        expect(await subject.objects.head(lock)).toBeUndefined()
        expect(await subject.objects.put(lock, new Uint8Array(60))).toBe('stored')
        const { key, bytes } = somePack()
        await subject.objects.put(key, bytes)
        for (const kept of [
          key,
          configKey(repository),
          smallKey(repository, 'snapshot', 'ab'.repeat(32)),
        ]) {
          await expect(subject.objects.remove(kept)).rejects.toMatchObject({ code: 'forbidden' })
        }
        expect(await stored(key)).toEqual(bytes)
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
            () => subject.objects.head(key),
            () => subject.objects.get(key, 10),
            () => subject.objects.put(key, new Uint8Array(1)),
            () => subject.objects.remove(key),
          ]) {
            await expect(call()).rejects.toMatchObject({ code: 'invalid' })
          }
        }
        await expect(subject.objects.list('../', { limit: 10 })).rejects.toMatchObject({
          code: 'invalid',
        })
      })

      test('the store tells its time', async () => {
        expect(Math.abs((await subject.objects.time()) - Date.now())).toBeLessThan(60_000)
      })
    })
  })
}
