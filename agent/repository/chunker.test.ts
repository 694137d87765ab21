import { createHash, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { referenceLengths } from '../../test/support/reference-chunker.ts'
import { createSeeded, type Seeded } from '../../test/support/seeded.ts'
import { chunkerTables, maxChunk, minChunk } from './chunker.ts'
import { idOf } from './id.ts'
import { type CutChunk, StreamWindow } from './stream-window.ts'

const polynomial = 0x3da3358b4dc173n
const tables = chunkerTables(polynomial)

/** The lengths of the chunks of `data`, given in reads of these sizes, left in a random order of up to `lag` at a time. */
function lengths(
  data: Uint8Array,
  reads: Iterable<number>,
  stream = new StreamWindow(tables),
  lag = 0,
  random: Pick<Seeded, 'between'> = { between: () => 0 },
): number[] {
  const found: number[] = []
  const held: CutChunk[] = []
  let checked = 0
  const leaveOne = () => {
    const [chunk] = held.splice(random.between(0, held.length - 1), 1)
    // Nothing may have been written over it meanwhile.
    const bytes = Buffer.from(stream.memory, chunk!.offset, chunk!.length)
    expect(idOf(bytes)).toBe(ids.get(chunk!))
    chunk!.leave()
  }
  const ids = new Map<CutChunk, string>()
  const cut = (last: boolean) => {
    for (let chunk = stream.next(last); chunk; chunk = stream.next(last)) {
      const bytes = Buffer.from(stream.memory, chunk.offset, chunk.length)
      expect(bytes.equals(data.subarray(checked, checked + chunk.length))).toBe(true)
      ids.set(chunk, idOf(bytes))
      checked += chunk.length
      found.push(chunk.length)
      held.push(chunk)
      while (held.length > lag) leaveOne()
    }
  }
  const steps = reads[Symbol.iterator]()
  for (let at = 0; at < data.length; ) {
    let room = stream.room()
    while (room === undefined) {
      leaveOne()
      room = stream.room()
    }
    const step = Math.max(1, steps.next().value ?? data.length)
    const read = data.subarray(at, at + Math.min(step, room.length))
    room.set(read)
    stream.fill(read.length)
    at += read.length
    cut(false)
  }
  cut(true)
  while (held.length > 0) leaveOne()
  stream.reset()
  return found
}

function sample(bytes: number): Buffer {
  const parts: Buffer[] = []
  for (let i = 0; i * 32 < bytes; i++)
    parts.push(createHash('sha256').update(`holdfast:${i}`).digest())
  return Buffer.concat(parts).subarray(0, bytes)
}

const sampled = sample(16 * 1024 * 1024)
const cuts = [
  541679, 871370, 525801, 974725, 1937440, 1814382, 834975, 2042012, 622598, 1060901, 947159,
  2245005, 1493288, 865881,
]

describe('the chunker', () => {
  test('builds the known tables', () => {
    expect(tables.outHigh[1]).toBe(0x17eb42)
    expect(tables.outLow[1]! >>> 0).toBe(0x32e19216)
    expect(tables.modHigh[1]).toBe(0x1da335)
    expect(tables.modLow[1]! >>> 0).toBe(0x8b4dc173)
    expect(tables.outHigh[255]).toBe(0x0b80b9)
    expect(tables.outLow[255]! >>> 0).toBe(0x8cecc39a)
    expect(tables.modHigh[255]).toBe(0x17ac8a)
    expect(tables.modLow[255]! >>> 0).toBe(0x5af476a7)
  })

  test('cuts the sample where restic cuts it', () => {
    expect(idOf(sampled)).toBe('b959d98a7b105c973de190f01439e4b183b1b389e494a2bef01a7772eb952284')
    expect(lengths(sampled, [])).toEqual(cuts)
  })

  test('cuts zeros at the least length', () => {
    const zeros = Buffer.alloc(3 * 1024 * 1024 + 5)
    expect(lengths(zeros, [])).toEqual([...Array(6).fill(minChunk), 5])
  })

  test('makes no chunk of an empty file and one of a short file', () => {
    expect(lengths(Buffer.alloc(0), [])).toEqual([])
    expect(lengths(Buffer.alloc(1), [])).toEqual([1])
    expect(lengths(sampled.subarray(0, minChunk), [])).toEqual([minChunk])
  })

  test('cuts at the greatest length where no border comes', () => {
    // The digest of a window of equal bytes never changes, so such data has a border at once or never.
    const dull = [1, 2, 3, 5, 77, 255].map((b) => lengths(Buffer.alloc(2 * maxChunk + 9, b), []))
    for (const found of dull) expect([minChunk, maxChunk]).toContain(found[0])
    expect(dull.some((found) => found[0] === maxChunk)).toBe(true)
  })

  test('cuts the same however the reads are split', () => {
    fc.assert(
      fc.property(fc.infiniteStream(fc.integer({ min: 1, max: 3_000_000 })), (reads) => {
        expect(lengths(sampled, reads)).toEqual(cuts)
      }),
      { numRuns: 15 },
    )
    expect(lengths(sampled.subarray(0, 2_000_000), repeat(1))).toEqual([
      541679, 871370, 525801, 61150,
    ])
  })

  test('starts afresh after a reset, whatever it was fed before', () => {
    const stream = new StreamWindow(tables)
    lengths(sampled.subarray(0, 700_001), [1000], stream)
    stream.room()!.set(sampled.subarray(0, 900_000))
    stream.fill(900_000)
    stream.next()?.leave()
    stream.reset()
    expect(lengths(sampled, [], stream)).toEqual(cuts)
  })

  test('cuts as the plain search does, whatever the bytes, the reads and the order in which chunks leave', () => {
    const seed = randomBytes(4).toString('hex')
    const random = createSeeded(seed)
    const stream = new StreamWindow(tables)
    for (let round = 0; round < 12; round++) {
      const data = Buffer.concat(
        Array.from({ length: random.between(1, 5) }, () => {
          const size = random.between(0, 6_000_000)
          const kind = random.between(1, 5)
          if (kind === 1) return Buffer.alloc(size, random.between(0, 255))
          if (kind === 2) return Buffer.alloc(size, random.bytes(random.between(1, 9999)))
          return random.bytes(size)
        }),
      )
      const reads = Array.from({ length: 2000 }, () => random.between(1, 600_000))
      const found = lengths(data, reads, stream, random.between(0, 8), random)
      expect(found, `seed ${seed}`).toEqual(referenceLengths(tables, data))
    }
  })

  test('agrees with the definition by big numbers under another polynomial', () => {
    const other = 0x26aea2b1ac9df1n | (1n << 53n)
    const data = sample(1_400_000)
    expect(lengths(data, [], new StreamWindow(chunkerTables(other)))).toEqual(
      slowLengths(data, other),
    )
  })
})

function* repeat(n: number): Generator<number> {
  for (;;) yield n
}

/** The definition, word for word: digest of the last 64 bytes, a border where 20 bits are zero. */
function slowLengths(data: Buffer, polynomial: bigint): number[] {
  const t = chunkerTables(polynomial)
  const value = (high: Int32Array, low: Int32Array, i: number) =>
    (BigInt(high[i]!) << 32n) | BigInt(low[i]! >>> 0)
  const out = Array.from({ length: 256 }, (_, b) => value(t.outHigh, t.outLow, b))
  const mod = Array.from({ length: 256 }, (_, b) => value(t.modHigh, t.modLow, b))
  const found: number[] = []
  let start = 0
  while (start < data.length) {
    const window = new Uint8Array(64)
    window[0] = 1
    let position = 1
    let digest = 1n
    let count = minChunk - 64
    let cut = data.length - start
    while (start + count < data.length) {
      const b = data[start + count]!
      digest ^= out[window[position]!]!
      window[position] = b
      position = (position + 1) & 63
      const top = Number(digest >> 45n)
      digest = (((digest << 8n) | BigInt(b)) & ((1n << 53n) - 1n)) ^ mod[top]!
      count++
      if (((digest & 0xfffffn) === 0n && count >= minChunk) || count >= maxChunk) {
        cut = count
        break
      }
    }
    found.push(cut)
    start += cut
  }
  return found
}
