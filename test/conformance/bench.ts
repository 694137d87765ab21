// The tools of the vault suite: packs, grants sent exactly, and the whole vault before and after.
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { expect } from 'vitest'
import { sendExactly } from '../../control-plane/node/exact-request.ts'
import type { ExactAnswer } from '../../control-plane/ports/exact-request.ts'
import type { SignedUrl } from '../../control-plane/ports/objects.ts'
import type { VaultSubject } from '../../control-plane/ports/vault-subject.ts'
import { packKey } from '../../shared/vault/layout.ts'

export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
export const md5 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex')
export const pairs = ({ headers }: SignedUrl) => Object.entries(headers)
export const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')
export const isRefusal = (answer: { status: number }) => answer.status === 0 || answer.status >= 400

/** A pack of random bytes with a key of its own in a fresh repository. */
export function somePack(length = 300) {
  const bytes = new Uint8Array(randomBytes(length))
  const key = packKey(randomUUID(), sha256(bytes))
  return {
    key,
    bytes,
    wanted: { key, bytes: length, sha256: sha256(bytes), md5: md5(bytes), seconds: 300 },
  }
}
export type Pack = ReturnType<typeof somePack>

export interface Bench {
  /** The vault under test; there once the suite runs. */
  readonly subject: VaultSubject
  /** A case of the suite, unless this implementation skips it. */
  test(title: string, run: () => Promise<void>): void
  stored(key: string): Promise<Uint8Array | undefined>
  put(grant: SignedUrl, body: Uint8Array, extra?: [string, string][]): Promise<ExactAnswer>
  get(grant: SignedUrl, extra?: [string, string][]): Promise<ExactAnswer>
  /** Every key with the hash of its bytes, to be compared before and after an attack. */
  everything(): Promise<Map<string, string>>
  /** Tries an attack on a signed PUT and asserts that nothing came of it. */
  expectNothingStored(
    attack: (grant: SignedUrl, pack: Pack) => Promise<{ status: number }>,
  ): Promise<void>
}

export function createBench(test: Bench['test'], subject: () => VaultSubject): Bench {
  const bench: Bench = {
    test,
    get subject() {
      return subject()
    },
    stored: (key) => bench.subject.objects.get(key, 10_000_000),
    put: (grant, body, extra = []) =>
      sendExactly({ method: 'PUT', url: grant.url, headers: [...pairs(grant), ...extra], body }),
    get: (grant, extra = []) => sendExactly({ method: 'GET', url: grant.url, headers: extra }),

    async everything() {
      const all = new Map<string, string>()
      let cursor: string | undefined
      do {
        const options = { limit: 1_000, ...(cursor ? { cursor } : {}) }
        const page = await bench.subject.objects.list('', options)
        const facts = page.objects.map(async ({ key, bytes }) => {
          // Attacks are made with small bodies: large objects are told by their size.
          return [key, bytes > 100_000 ? `${bytes}` : sha256((await bench.stored(key))!)] as const
        })
        for (const [key, fact] of await Promise.all(facts)) all.set(key, fact)
        cursor = page.next
      } while (cursor !== undefined)
      return all
    },

    async expectNothingStored(attack) {
      const pack = somePack()
      const grant = await bench.subject.objects.signPut(pack.wanted)
      const before = await bench.everything()
      const answer = await attack(grant, pack)
      expect(answer.status, `answered ${answer.status}`).toSatisfy(() => isRefusal(answer))
      expect(await bench.everything()).toEqual(before)
      // The grant itself is still good: nothing was spent by the attempt.
      expect((await bench.put(grant, pack.bytes)).status).toBe(200)
      expect(await bench.stored(pack.key)).toEqual(pack.bytes)
    },
  }
  return bench
}
