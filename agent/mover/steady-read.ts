// Reading a file that others may be writing.

import { createHash } from 'node:crypto'
import type { BigIntStats } from 'node:fs'
import type { Clock } from '../../shared/clock.ts'
import { systemErrorCode } from '../native/syscall-error.ts'
import type { SourceEntry, SourceFile } from '../sources/source.ts'
import type { Slots } from './slots.ts'

export type FileEntry = Extract<SourceEntry, { kind: 'file' }>

/** What a file's bytes became in the repository. */
export interface Saved {
  readonly content: readonly string[]
  readonly size: bigint
}

export type ReadOutcome<S extends Saved> =
  /** `change`: what happened during each of three reads. `grew`: what was read is an unchanged beginning. */
  | { kind: 'saved'; entry: FileEntry; stat: BigIntStats; saved: S; change?: 'grew' | 'rewritten' }
  | { kind: 'gone' }
  | { kind: 'unreadable'; code: string }
  /** Its name belongs to something else now. */
  | { kind: 'replaced'; entry: SourceEntry }

export interface SteadyReadDeps<S extends Saved> {
  /** Look at the same name again. */
  look(): SourceEntry
  save(chunks: Chunks): Promise<S>
  /** How many files are read at a time; those that wait are open, and the kernel fetches them meanwhile. */
  reading: Slots
  clock: Clock
  signal: AbortSignal
}

/** What an earlier read of the same file gave: how many bytes, and their SHA-256. */
export interface EarlierRead {
  readonly size: number
  readonly hash: string
}

/** Bytes of a file in order; an array where they are all at hand. */
export type Chunks = AsyncIterable<Uint8Array> | readonly Uint8Array[]

/** A changing file is read once and then again up to twice. */
const MOST_READS = 3
/** A name that always belongs to another file when it is opened; each look is cheap, so more of them. */
const MOST_LOOKS = 10
/**
 * The kernel stamps changes by a clock that ticks every 1–10 ms. A file changed within the last two
 * ticks could change again after being read and still show the same times at the next run.
 */
const TICK_MARGIN = 20
/** The same for file systems that keep whole seconds (ext3, old NFS servers). */
const SECOND_MARGIN = 1_020
/** A file written to within this many milliseconds may well be written to while it is read. */
const HOT = 60_000

/**
 * Save one file so that what is saved is what the file held at one moment, as far as it lets us.
 * The returned `stat` is from before the read that was kept: if the file changes afterwards, the
 * next run sees other times and reads it again. Errors of `save` pass through. `before` tells of a first read that
 * was made already, and during which the file changed.
 */
export async function readSteadily<S extends Saved>(
  first: SourceEntry,
  deps: SteadyReadDeps<S>,
  before?: EarlierRead,
): Promise<ReadOutcome<S>> {
  let entry = first
  let earlier = before
  for (let reads = before ? 2 : 1, looks = 0; ; ) {
    deps.signal.throwIfAborted()
    if (entry.kind === 'vanished') return { kind: 'gone' }
    if (entry.kind === 'unreadable') return { kind: 'unreadable', code: entry.code }
    if (entry.kind !== 'file') return { kind: 'replaced', entry }
    let file: SourceFile
    try {
      file = entry.open()
    } catch (error) {
      const code = systemErrorCode(error)
      if (code === undefined) throw error
      if (code === 'ENOENT') return { kind: 'gone' }
      if (!replacedCodes.has(code) || ++looks > MOST_LOOKS) return { kind: 'unreadable', code }
      entry = deps.look()
      continue
    }
    let reading = false
    try {
      const wait = unsettled(file.stat, deps.clock)
      if (wait > 0) await deps.clock.sleep(wait, deps.signal)
      await deps.reading.take()
      reading = true
      const hot = Number(file.stat.mtimeNs / 1_000_000n) > deps.clock.now() - HOT
      const tap = createTap(earlier, hot || reads > 1, deps.signal)
      const saved = await deps.save(tap.pass(contentOf(file)))
      const steady = sameContent(file.stat, file.now()) && saved.size === file.stat.size
      const done = { kind: 'saved' as const, entry, stat: file.stat, saved }
      if (steady) return done
      // Two reads that agree as far as the shorter one goes: nothing but the end is moving.
      if (tap.grewOnly()) return { ...done, change: 'grew' }
      if (reads === MOST_READS) return { ...done, change: 'rewritten' }
      earlier = tap.result()
    } catch (error) {
      if (error instanceof ReadFailure) return { kind: 'unreadable', code: error.code }
      throw error
    } finally {
      file.close()
      if (reading) deps.reading.release()
    }
    reads++
    entry = deps.look()
  }
}

/** Another file took the name between looking and opening (`EAGAIN`), or a symlink, socket or directory did. */
const replacedCodes: ReadonlySet<string> = new Set(['EAGAIN', 'ELOOP', 'ENXIO', 'ENODEV', 'EISDIR'])

/** The source could not be read; everything else that fails on the way is the writer's. */
class ReadFailure extends Error {
  readonly code: string
  constructor(code: string) {
    super(`read: ${code}`)
    this.code = code
  }
}

/** Whether nobody wrote to the file between two looks at it. */
export function sameContent(before: BigIntStats, after: BigIntStats): boolean {
  return (
    before.size === after.size &&
    before.mtimeNs === after.mtimeNs &&
    before.ctimeNs === after.ctimeNs
  )
}

/** Milliseconds to wait until any later change must show in the file's times. */
export function unsettled(stat: BigIntStats, clock: Clock): number {
  const seconds = stat.ctimeNs / 1_000_000_000n
  return unsettledSince(Number(seconds), Number(stat.ctimeNs - seconds * 1_000_000_000n), clock)
}

/** As `unsettled`, of a ctime in whole seconds and the nanoseconds of the rest. */
export function unsettledSince(seconds: number, nanoseconds: number, clock: Clock): number {
  const margin = nanoseconds === 0 ? SECOND_MARGIN : TICK_MARGIN
  const age = clock.now() - seconds * 1_000 - Math.floor(nanoseconds / 1_000_000)
  return age >= 0 && age < margin ? margin - age : 0
}

/** Watches the bytes of one read on their way, to compare them with those of the read before. */
function createTap(earlier: EarlierRead | undefined, hashing: boolean, signal: AbortSignal) {
  const whole = hashing ? createHash('sha256') : undefined
  const beginning = earlier ? createHash('sha256') : undefined
  let size = 0
  let beginningLeft = earlier?.size ?? 0
  const see = (chunk: Uint8Array) => {
    signal.throwIfAborted()
    whole?.update(chunk)
    size += chunk.length
    const share = Math.min(beginningLeft, chunk.length)
    if (share > 0) beginning?.update(chunk.subarray(0, share))
    beginningLeft -= share
  }
  async function* passing(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      see(chunk)
      yield chunk
    }
  }
  return {
    pass(chunks: Chunks): Chunks {
      if (!isArray(chunks)) return passing(chunks)
      chunks.forEach(see)
      return chunks
    },
    /** Whether this read begins with all that the earlier one gave. */
    grewOnly: (): boolean =>
      beginning !== undefined && beginningLeft === 0 && beginning.digest('hex') === earlier?.hash,
    /** For comparison with the next read; undefined if the bytes were not hashed. */
    result: () => (whole ? { size, hash: whole.digest('hex') } : undefined),
  }
}

/** Array.isArray does not know read-only arrays. */
export function isArray(chunks: Chunks): chunks is readonly Uint8Array[] {
  return Array.isArray(chunks)
}

/** A file's content, a failure to read it told from all others. */
function contentOf(file: SourceFile): Chunks {
  try {
    const chunks = file.content()
    return isArray(chunks) ? chunks : readable(chunks)
  } catch (error) {
    throw asReadFailure(error)
  }
}

async function* readable(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks
  } catch (error) {
    throw asReadFailure(error)
  }
}

function asReadFailure(error: unknown): unknown {
  const code = systemErrorCode(error)
  return code === undefined ? error : new ReadFailure(code)
}
