import { generateX25519Identity, identityToRecipient } from 'age-encryption'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { pageBytes, pageEntries, pagesOfBytes, pagesOfLines, sendPages } from './pages.ts'

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = []
  for await (const item of items) out.push(item)
  return out
}

async function* each<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items
}

describe('pages', () => {
  it('hold at most a thousand lines and a mebibyte, and lose none', async () => {
    const lines = Array.from({ length: 2_500 }, (_, i) => `${i}`.padEnd(i % 7 === 0 ? 3_000 : 5))
    const pages = (await all(pagesOfLines(each(lines)))).map((page) => Buffer.from(page).toString())
    for (const page of pages) {
      expect(page.length).toBeLessThanOrEqual(pageBytes)
      expect(page.split('\n').length - 1).toBeLessThanOrEqual(pageEntries)
    }
    expect(pages.join('')).toBe(lines.map((line) => `${line}\n`).join(''))
  })

  it('of bytes are full but for the last, however the bytes came', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(700_000), { maxLength: 8 }), async (lengths) => {
        const chunks = lengths.map((length, i) => Buffer.alloc(length, i + 1))
        const pages = await all(pagesOfBytes(each(chunks)))
        expect(Buffer.concat(pages).equals(Buffer.concat(chunks))).toBe(true)
        for (const page of pages.slice(0, -1)) expect(page.length).toBe(pageBytes)
      }),
      { numRuns: 20 },
    )
  })

  it('are numbered, sealed, and the last one is marked', async () => {
    const recipient = await identityToRecipient(await generateX25519Identity())
    const sent: [number, boolean][] = []
    const send = async (page: number, last: boolean, sealed: string) => {
      expect(Buffer.from(sealed, 'base64').toString('latin1')).toMatch(/^age-encryption.org\/v1\n/)
      sent.push([page, last])
    }
    expect(await sendPages(each([Buffer.from('a'), Buffer.from('bc')]), recipient, send)).toBe(3)
    expect(await sendPages(each([]), recipient, send)).toBe(0)
    expect(sent).toEqual([
      [0, false],
      [1, true],
      [0, true],
    ])
  })
})
