// Packs that are stored and that no index file lists yet, written down so that a run after a crash need not send
// them again. A hint, never a truth: what it names is looked for in the store before anybody believes it.
//
// A folder of segments, each held by a lock that dies with its mover, so that two movers of one repository never take
// up the same packs. A segment is a row of records, u32 length and a sealed text each; what is torn at its end is
// ignored. Sealed, because the ids of blobs are the hashes of what was backed up.

import type { FileHandle } from 'node:fs/promises'
import { mkdir, open, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { DAY, type Instant } from '../../shared/clock.ts'
import { lockFile } from '../native/file-lock.ts'
import type { PackedBlob } from '../repository/blob.ts'
import { open as openSealed, type SealingKey, seal, sealOverhead } from '../repository/cipher.ts'
import { type Id, idBytes, type Random } from '../repository/id.ts'
import { decodeHeader, encodeHeader, headerLimit, packSize } from '../repository/pack-header.ts'

/** A stored pack, and what it holds. */
export interface JournalledPack {
  readonly id: Id
  readonly bytes: number
  readonly type: 'data' | 'tree'
  readonly blobs: readonly PackedBlob[]
}

export interface PackJournal {
  /** What dead movers left, in the order they stored it. */
  readonly left: readonly JournalledPack[]
  /** This pack is durable in the store and no index file lists it. */
  add(pack: JournalledPack): Promise<void>
  /** An index file lists these, or they are not in the store: either way they need no adoption. */
  drop(packs: Iterable<Id>): Promise<void>
  /** Leave what is still in it to the next run. */
  close(): Promise<void>
}

/** A new segment begins after so many bytes: a full index file's 50,000 blobs take 2 MB. */
const segmentBytes = 4 * 2 ** 20
/** One segment holds no more than this, whatever a record adds to it; larger files are not ours. */
const segmentLimit = segmentBytes + headerLimit + 4096
/** All segments of a mover together. Packs beyond it are not written down: the next run would send them again. */
const journalLimit = 64 * 2 ** 20
/** Segments looked at; more than that is a machine that crashes in a circle. */
const segmentsRead = 256
/** Cleanup spares unlisted packs for seven days, so older ones are on their way out and not to be relied on. */
const oldest = 6 * DAY

const packKind = 1
const dropKind = 2
const packHead = 2 + idBytes
const name = /^[0-9a-f]{16}\.packs$/

interface Segment {
  readonly path: string
  readonly file: FileHandle
  length: number
  readonly live: Set<Id>
}

/**
 * Open the journal in `directory` (made if missing, owner only) and take over what movers left that live no more.
 * Records are not synced: after a power cut the last ones may be missing, and their packs are sent again.
 */
export async function openPackJournal(options: {
  directory: string
  key: SealingKey
  random: Random
  now: Instant
}): Promise<PackJournal> {
  const { directory, key, random, now } = options
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const segments = new Map<Id, Segment>()
  const left = new Map<Id, JournalledPack>()
  let current: Segment | undefined
  let bytes = 0

  for (const found of (await readdir(directory))
    .filter((one) => name.test(one))
    .slice(0, segmentsRead)) {
    await takeOver(join(directory, found))
  }

  async function takeOver(path: string): Promise<void> {
    const file = await open(path, 'r+').catch(() => undefined)
    if (file === undefined) return
    const { size, mtimeMs, nlink } = await file.stat()
    // Held by a living mover, or removed by one a moment ago.
    if (!lockFile(file.fd) || nlink === 0) return file.close()
    const fresh = size <= segmentLimit && now - mtimeMs <= oldest
    const { packs, length } = fresh
      ? readSegment(key, await file.readFile())
      : { packs: [], length: 0 }
    const segment: Segment = { path, file, length, live: new Set(packs.map(({ id }) => id)) }
    bytes += length
    for (const pack of packs) {
      left.set(pack.id, pack)
      segments.set(pack.id, segment)
    }
    // What is torn must not stand between this and the next record.
    if (packs.length > 0) await file.truncate(length)
    else await remove(segment)
  }

  /** If we die between the two the next mover finds a segment without a living pack, and removes it. */
  async function remove(segment: Segment): Promise<void> {
    await unlink(segment.path)
    await segment.file.close()
    bytes -= segment.length
  }

  async function append(segment: Segment, plain: Buffer): Promise<void> {
    const sealed = seal(key, plain, random)
    const record = Buffer.allocUnsafe(4 + sealed.length)
    record.writeUInt32LE(sealed.length)
    record.set(sealed, 4)
    await segment.file.write(record, 0, record.length, segment.length)
    // If we die before this the record is torn or whole, and either is understood.
    segment.length += record.length
    bytes += record.length
  }

  async function begin(): Promise<Segment> {
    for (;;) {
      const path = join(directory, `${random(8).toString('hex')}.packs`)
      const file = await open(path, 'wx+', 0o600)
      const segment = { path, file, length: 0, live: new Set<Id>() }
      // Another mover may have found it empty in this very moment, and be removing it.
      if (lockFile(file.fd) && (await file.stat()).nlink > 0) return segment
      await file.close()
    }
  }

  let last: Promise<void> = Promise.resolve()
  /** One change at a time: records follow each other in the order they were asked for. */
  function inTurn(work: () => Promise<void>): Promise<void> {
    const mine = last.then(work)
    last = mine.catch(() => {})
    return mine
  }

  return {
    left: [...left.values()],
    add: (pack) =>
      inTurn(async () => {
        if (bytes > journalLimit || segments.has(pack.id)) return
        if (current !== undefined && current.length >= segmentBytes) {
          if (current.live.size === 0) await remove(current)
          current = undefined
        }
        current ??= await begin()
        await append(current, encodePack(pack))
        current.live.add(pack.id)
        segments.set(pack.id, current)
      }),
    drop: (packs) =>
      inTurn(async () => {
        const touched = new Map<Segment, Id[]>()
        for (const id of packs) {
          const segment = segments.get(id)
          if (segment === undefined) continue
          segments.delete(id)
          segment.live.delete(id)
          touched.set(segment, [...(touched.get(segment) ?? []), id])
        }
        for (const [segment, ids] of touched) {
          if (segment.live.size > 0) {
            await append(
              segment,
              Buffer.concat([Buffer.of(dropKind), Buffer.from(ids.join(''), 'hex')]),
            )
            continue
          }
          await remove(segment)
          if (segment === current) current = undefined
        }
      }),
    close: () =>
      inTurn(async () => {
        const held = new Set(segments.values())
        if (current !== undefined) held.add(current)
        for (const segment of held) {
          if (segment.live.size === 0) await remove(segment)
          else await segment.file.close()
        }
        segments.clear()
        current = undefined
      }),
  }
}

function encodePack({ id, type, blobs }: JournalledPack): Buffer {
  const head = Buffer.from([packKind, type === 'tree' ? 1 : 0])
  return Buffer.concat([head, Buffer.from(id, 'hex'), encodeHeader(blobs)])
}

/** The packs that are still in a segment, and the length of its part that can be read. Never throws. */
export function readSegment(
  key: SealingKey,
  bytes: Buffer,
): { packs: JournalledPack[]; length: number } {
  const packs = new Map<Id, JournalledPack>()
  let at = 0
  while (at + 4 <= bytes.length) {
    const length = bytes.readUInt32LE(at)
    if (length < sealOverhead || at + 4 + length > bytes.length) break
    try {
      applyRecord(packs, openSealed(key, bytes.subarray(at + 4, at + 4 + length)))
    } catch {
      break // torn, of another repository, or of a version that wrote something else
    }
    at += 4 + length
  }
  return { packs: [...packs.values()], length: at }
}

function applyRecord(packs: Map<Id, JournalledPack>, plain: Buffer): void {
  if (plain[0] === dropKind) {
    for (let at = 1; at + idBytes <= plain.length; at += idBytes) {
      packs.delete(plain.toString('hex', at, at + idBytes))
    }
    return
  }
  if (plain[0] !== packKind || plain.length < packHead) throw new RangeError('no record of ours')
  const id = plain.toString('hex', 2, packHead)
  const blobs = decodeHeader(plain.subarray(packHead))
  packs.set(id, { id, type: plain[1] === 1 ? 'tree' : 'data', blobs, bytes: packSize(blobs) })
}
