import { randomBytes } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DAY } from '../../shared/clock.ts'
import { randomMasterKey } from '../repository/key-file.ts'
import { packSize } from '../repository/pack-header.ts'
import { type JournalledPack, openPackJournal, readSegment } from './pack-journal.ts'

const random = (length: number) => randomBytes(length)
const id = () => randomBytes(32).toString('hex')
const key = randomMasterKey(random)
const now = 1_800_000_000_000

function pack(type: 'data' | 'tree' = 'data', count = 3): JournalledPack {
  let offset = 0
  const first = id().slice(8)
  const blobs = Array.from({ length: count }, (_, i) => {
    const blob = {
      id: i.toString(16).padStart(8, '0') + first,
      type,
      offset,
      length: 100 + i,
      uncompressedLength: i % 2 === 0 || type === 'tree' ? 500 + i : 0,
    }
    offset += blob.length
    return blob
  })
  return { id: id(), type, bytes: packSize(blobs), blobs }
}

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-packs-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

const open = (at = now, masterKey = key) =>
  openPackJournal({ directory, key: masterKey, random, now: at })
const segments = () => readdirSync(directory).map((name) => join(directory, name))
/** Files are as old as the journal's time says. */
function settle(): void {
  for (const path of segments()) utimesSync(path, now / 1_000, now / 1_000)
}

describe('a journal of stored packs', () => {
  it('gives the next run what no index file lists, in the order it was stored', async () => {
    const first = await open()
    const [one, two, three] = [pack(), pack('tree'), pack('data', 2_000)]
    for (const each of [one, two, three]) await first.add(each)
    await first.drop([two.id])
    await first.close()
    settle()
    const second = await open()
    expect(second.left).toEqual([one, three])
    await second.drop([one.id, three.id])
    await second.close()
    expect(segments()).toEqual([])
  })

  it('keeps its hands off what a living mover writes', async () => {
    const living = await open()
    await living.add(pack())
    settle()
    const other = await open()
    expect(other.left).toEqual([])
    const own = pack()
    await other.add(own)
    await other.close()
    settle()
    const third = await open()
    expect(third.left).toEqual([own])
    await third.close()
    await living.close()
  })

  it('forgets what was dropped although the rest of its segment is still wanted', async () => {
    const [one, two] = [pack(), pack()]
    const first = await open()
    await first.add(one)
    await first.add(two)
    await first.close()
    settle()
    const second = await open()
    await second.drop([one.id])
    await second.close()
    settle()
    const third = await open()
    expect(third.left).toEqual([two])
    await third.close()
  })

  it('writes no index of what is written: neither ids nor lengths can be read without the key', async () => {
    const journal = await open()
    const one = pack()
    await journal.add(one)
    const text = readFileSync(segments()[0]!).toString('hex')
    for (const each of [one.id, ...one.blobs.map((blob) => blob.id)]) {
      expect(text).not.toContain(each)
    }
    await journal.close()
    settle()
    const stranger = await open(now, randomMasterKey(random))
    expect(stranger.left).toEqual([])
    await stranger.close()
    expect(segments()).toEqual([])
  })

  it('leaves packs alone that are older than the cleanup would spare', async () => {
    const journal = await open()
    await journal.add(pack())
    await journal.close()
    settle()
    const later = await open(now + 6 * DAY + 1)
    expect(later.left).toEqual([])
    await later.close()
    expect(segments()).toEqual([])
  })

  it('goes on after a torn record, wherever it was torn', async () => {
    const packs = [pack(), pack('tree'), pack()]
    const journal = await open()
    for (const each of packs) await journal.add(each)
    await journal.close()
    const whole = readFileSync(segments()[0]!)
    for (const path of segments()) rmSync(path)
    for (let length = 0; length <= whole.length; length += 7) {
      const { packs: read } = readSegment(key, whole.subarray(0, length))
      expect(read).toEqual(packs.slice(0, read.length))
    }
    const torn = join(directory, `${'0'.repeat(16)}.packs`)
    writeFileSync(torn, whole.subarray(0, whole.length - 1))
    settle()
    const next = await open()
    expect(next.left).toEqual(packs.slice(0, 2))
    // A record after the torn one is found again.
    await next.drop([packs[0]!.id])
    await next.close()
    settle()
    const last = await open()
    expect(last.left).toEqual([packs[1]])
    await last.close()
  })

  it('reads any bytes without a fault', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        const { packs, length } = readSegment(key, Buffer.from(bytes))
        expect(packs).toEqual([])
        expect(length).toBe(0)
      }),
    )
  })

  it('begins a new segment when one is full, and removes each when all of it is listed', async () => {
    const journal = await open()
    const packs = Array.from({ length: 9 }, () => pack('data', 20_000))
    for (const each of packs) await journal.add(each)
    const full = segments().length
    expect(full).toBeGreaterThan(1)
    await journal.drop(packs.slice(0, 8).map((each) => each.id))
    expect(segments().length).toBeLessThan(full)
    await journal.drop([packs[8]!.id])
    expect(segments()).toEqual([])
    await journal.close()
  })
})
