import { PassThrough, Readable } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createLineWriter, LineTooLongError, readLines } from './lines.ts'

async function linesOf(chunks: Iterable<Buffer>, limit = 1_000): Promise<string[]> {
  const out: string[] = []
  for await (const line of readLines(Readable.from(chunks), limit)) out.push(line)
  return out
}

describe('readLines', () => {
  it('gives the same lines however the bytes were cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'binary' }).map((text) => text.replaceAll('\n', ' '))),
        fc.array(fc.nat(40)),
        async (texts, cuts) => {
          const whole = Buffer.from(texts.map((text) => `${text}\n`).join(''))
          const chunks: Buffer[] = []
          let at = 0
          for (const cut of cuts) {
            chunks.push(whole.subarray(at, at + cut))
            at += cut
          }
          chunks.push(whole.subarray(at))
          const expected = texts.map((text) => Buffer.from(text).toString())
          expect(await linesOf(chunks.filter((chunk) => chunk.length > 0))).toEqual(expected)
        },
      ),
    )
  })

  it('drops a last line whose writer died in it', async () => {
    expect(await linesOf([Buffer.from('one\ntw')])).toEqual(['one'])
  })

  it('refuses a line over the limit, whether it ends or not', async () => {
    const long = Buffer.from(`${'x'.repeat(11)}\n`)
    await expect(linesOf([long], 10)).rejects.toBeInstanceOf(LineTooLongError)
    const endless = Array.from({ length: 10 }, () => Buffer.from('yyyy'))
    await expect(linesOf(endless, 10)).rejects.toBeInstanceOf(LineTooLongError)
  })

  it('takes a line of exactly the limit in characters that need three bytes each', async () => {
    expect(await linesOf([Buffer.from(`${'€'.repeat(10)}\n`)], 10)).toEqual(['€'.repeat(10)])
  })
})

describe('createLineWriter', () => {
  it('waits for a reader that is slow and keeps the order', async () => {
    const pipe = new PassThrough({ highWaterMark: 16 })
    const writer = createLineWriter(pipe, 1_000)
    let written = 0
    const texts = Array.from({ length: 50 }, (_, i) => `line ${i}`)
    const all = texts.map((text) =>
      writer.write(text).then(() => {
        written++
      }),
    )
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(written).toBeLessThan(10)
    const seen: string[] = []
    for await (const line of readLines(pipe, 1_000)) {
      seen.push(line)
      if (seen.length === texts.length) break
    }
    await Promise.allSettled(all)
    expect(seen).toEqual(texts)
  })

  it('refuses a line the other side would refuse', async () => {
    const writer = createLineWriter(new PassThrough(), 4)
    await expect(writer.write('12345')).rejects.toBeInstanceOf(LineTooLongError)
    await expect(writer.write('1234')).resolves.toBeUndefined()
  })

  it('rejects once the reader is gone', async () => {
    const pipe = new PassThrough()
    const writer = createLineWriter(pipe, 100)
    pipe.destroy(new Error('gone'))
    await new Promise((resolve) => setImmediate(resolve))
    await expect(writer.write('x')).rejects.toThrow('gone')
  })

  it('rejects when the reader goes without an error, before the line or while it waits', async () => {
    const gone = new PassThrough()
    gone.destroy()
    await new Promise((resolve) => setImmediate(resolve))
    await expect(createLineWriter(gone, 100).write('x')).rejects.toThrow('gone')
    const full = new PassThrough({ highWaterMark: 1 })
    const waiting = createLineWriter(full, 100).write('xx')
    setImmediate(() => full.destroy())
    await expect(waiting).rejects.toThrow('gone')
  })
})
