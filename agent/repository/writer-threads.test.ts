import type { Worker } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { scratchRepository } from '../../test/support/scratch-repository.ts'
import { createSeeded } from '../../test/support/seeded.ts'
import { check } from './check.ts'
import type { RepositoryError } from './errors.ts'
import { idOf, systemRandom } from './id.ts'
import type { Pack } from './pack.ts'
import { createReader } from './reader.ts'
import { SealBench } from './seal-work.ts'

const MiB = 1024 * 1024
const random = createSeeded('threads')
const text = Buffer.alloc(5 * MiB, random.bytes(70_000).toString('base64'))
const large = Buffer.concat([random.bytes(6 * MiB), text, Buffer.alloc(2 * MiB)])
const small = Array.from({ length: 300 }, () => random.bytes(random.between(1, 30_000)))

/** A source that gives what it likes of what it is asked for. */
function feedOf(data: Buffer, asynchronous: boolean) {
  let at = 0
  return {
    read(into: Buffer) {
      const count = Math.min(into.length, data.length - at, random.between(1, 700_000))
      into.set(data.subarray(at, at + count))
      at += count
      return asynchronous ? new Promise<number>((go) => setImmediate(() => go(count))) : count
    },
  }
}

async function contentOf(parts: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = []
  for await (const part of parts) all.push(part)
  return Buffer.concat(all)
}

describe.each([
  [0, 2],
  [1, 0],
  [2, 2],
  [4, 1],
])('a writer with %i threads', (workers, level) => {
  test(`stores large and small files side by side, at level ${level}`, async () => {
    const { store, repository, index, writer } = scratchRepository()
    const w = writer({ workers, compressionLevel: level })
    const [one, two, three, ...rest] = await Promise.all([
      w.saveFile(feedOf(large, false)),
      w.saveFile(feedOf(large.subarray(MiB), true)),
      w.saveFile(feedOf(Buffer.concat([large.subarray(3 * MiB), text]), true)),
      ...small.map((bytes) => w.saveFile([bytes])),
    ])
    await w.flush()
    expect(rest.map(({ content }) => content)).toEqual(small.map((bytes) => [idOf(bytes)]))
    const reader = createReader({ store, repository, index })
    expect((await contentOf(reader.loadFile(one.content))).equals(large)).toBe(true)
    expect((await contentOf(reader.loadFile(two.content))).equals(large.subarray(MiB))).toBe(true)
    expect(three.size).toBe(BigInt(large.length - 3 * MiB + text.length))
    const stored = [
      ...one.content,
      ...two.content,
      ...three.content,
      ...rest.map((r) => r.content[0]),
    ]
    const added = [one, two, three, ...rest].reduce((sum, saved) => sum + saved.added.blobs, 0)
    expect(added).toBe(new Set(stored).size)
    expect(await check({ store, repository, readData: true })).toMatchObject({ ok: true })
  })
})

test('threads come and go while a file is saved', async () => {
  const { store, repository, index, writer } = scratchRepository()
  const w = writer({ workers: 1 })
  const source = feedOf(Buffer.concat([large, text, large.subarray(77)]), true)
  let reads = 0
  const { content, size } = await w.saveFile({
    read(into) {
      w.setWorkers([3, 0, 2, 1][reads++ % 4]!)
      return source.read(into)
    },
  })
  await w.flush()
  const reader = createReader({ store, repository, index })
  expect((await contentOf(reader.loadFile(content))).length).toBe(Number(size))
})

test('a run that stores little starts no thread, and no thread is left after a flush', async () => {
  const { writer } = scratchRepository()
  const started: Worker[] = []
  const see = (worker: Worker) => void started.push(worker)
  process.on('worker', see)
  try {
    const w = writer({ workers: 2 })
    await w.saveFile([random.bytes(1000)])
    await w.flush()
    expect(started).toEqual([])
    await w.saveFile([large])
    await w.flush()
    expect(started.length).toBe(2)
    expect(started.map((worker) => worker.threadId)).toEqual([-1, -1])
  } finally {
    process.off('worker', see)
  }
})

test('a thread that dies breaks the writer, which says so at once', async () => {
  const { writer } = scratchRepository()
  const kill = (worker: Worker) => void worker.once('online', () => void worker.terminate())
  process.on('worker', kill)
  try {
    const w = writer({ workers: 2 })
    const lost = expect.objectContaining({ code: 'worker-lost' })
    const saving = [w.saveFile(feedOf(large, true)), w.saveFile(feedOf(large, false))]
    const ends = await Promise.allSettled(saving)
    expect(ends.map((end) => end.status)).toEqual(['rejected', 'rejected'])
    expect((ends[0] as PromiseRejectedResult).reason).toEqual(lost)
    await expect(w.flush()).rejects.toMatchObject({ code: 'writer-broken', cause: lost })
    await expect(w.saveFile([large])).rejects.toMatchObject({ code: 'writer-broken' })
  } finally {
    process.off('worker', kill)
  }
})

test('a writer that is closed in the middle of things ends', async () => {
  const { writer } = scratchRepository()
  const w = writer({ workers: 2 })
  const saving = [
    w.saveFile(feedOf(large, true)),
    w.saveFile(feedOf(large.subarray(1), true)),
    w.saveFile(feedOf(large.subarray(2), true)),
    ...small.map((bytes) => w.saveFile([bytes])),
    ...small.map((bytes) => w.saveFile([bytes, bytes])),
  ]
  const ends = Promise.allSettled(saving)
  await w.saveFile([text.subarray(0, 3 * MiB)])
  await w.close()
  const failures = (await ends).filter((end) => end.status === 'rejected')
  expect(failures.length).toBeGreaterThan(0)
  for (const { reason } of failures) {
    expect(['worker-lost', 'writer-broken']).toContain((reason as RepositoryError).code)
  }
  await expect(w.saveTree([])).rejects.toMatchObject({ code: 'writer-broken' })
})

test('nothing is read any more, and nothing more is held, while uploads stand still', async () => {
  const { writer } = scratchRepository()
  const waiting: (() => void)[] = []
  let packs = 0
  const onPack = async (_: Pack) => {
    packs++
    await new Promise<void>((go) => waiting.push(go))
  }
  const w = writer({ workers: 2, uploads: 2, compressionLevel: 0, onPack })
  let read = 0
  let end = false
  const feed = {
    read(into: Buffer) {
      if (end) return 0
      systemRandom(into.length).copy(into)
      read += into.length
      return into.length
    },
  }
  const saving = [w.saveFile(feed), ...small.map((bytes) => w.saveFile([bytes]))]
  for (let before = -1; packs < 2 || before !== read; ) {
    before = read
    await new Promise((go) => setTimeout(go, 500))
  }
  expect(packs).toBe(2)
  // Two on their way, one that waits, the other open one; a window.
  expect(w.memory.packs).toBeLessThanOrEqual(4)
  expect(read).toBeLessThan(4 * 25 * MiB + 13 * MiB)
  expect(w.memory.buffers).toBeLessThan((4 * 25 + 12 + 6) * MiB + 1)
  end = true
  const release = setInterval(() => {
    for (const go of waiting.splice(0)) go()
  }, 1)
  await Promise.all(saving)
  await w.flush()
  clearInterval(release)
})

test('what does not open to its id again is not let go', () => {
  const key = { encrypt: systemRandom(32), macK: systemRandom(16), macR: systemRandom(16) }
  const bench = new SealBench(key)
  for (const plain of [Buffer.from('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'), systemRandom(3 * MiB)]) {
    const memory = new SharedArrayBuffer(plain.length)
    const work = (id: string) =>
      bench.do({
        ...{ kind: 'seal', memory, spans: [0, plain.length], ids: [id], levels: [2] },
        ivs: systemRandom(16),
      })
    Buffer.from(memory).set(plain)
    expect(work(idOf(plain))).toHaveProperty('done')
    Buffer.from(memory).set(plain)
    expect(work(idOf(Buffer.from('other')))).toMatchObject({ code: 'self-check-failed' })
  }
})
