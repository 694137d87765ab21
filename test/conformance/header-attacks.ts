// What the holder of a PUT URL could try with headers (CVE-2026-54330 among them).
import { describe, expect } from 'vitest'
import { sendExactly } from '../../control-plane/node/exact-request.ts'
import type { ExactAnswer } from '../../control-plane/ports/exact-request.ts'
import { type Bench, isRefusal, pairs, somePack } from './bench.ts'

export function describeHeaderAttacks(bench: Bench): void {
  const { test, stored, put, get, expectNothingStored } = bench
  describe('headers that were not signed', () => {
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
      await put(await bench.subject.objects.signPut(secret.wanted), secret.bytes)
      const source = bench.subject.copySource(secret.key) ?? `/${secret.key}`
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
          await put({ ...grant, headers: { ...grant.headers, 'x-amz-acl': 'public-read' } }, bytes),
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
      await put(await bench.subject.objects.signPut(pack.wanted), pack.bytes)
      const grant = await bench.subject.objects.signGet({ key: pack.key, seconds: 60 })
      await get(grant, [['X-HTTP-Method-Override', 'DELETE']])
      expect(await stored(pack.key)).toEqual(pack.bytes)
    })
  })
}
