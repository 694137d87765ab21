// The content of files, fetched in the order in which it lies in the repository.

import { HoldfastError } from '../../shared/errors.ts'
import { plainLength } from '../repository/blob.ts'
import type { BlobIndex, BlobPlace } from '../repository/index.ts'
import { type RepositoryReader, type Span, spansOf } from '../repository/reader.ts'
import { nextTurn } from '../repository/turn.ts'
import { Bell } from './bell.ts'
import { ByteBudget } from './byte-budget.ts'
import type { TargetFile } from './target-file.ts'

export interface ContentOptions {
  readonly reader: Pick<RepositoryReader, 'readSpan'>
  readonly index: Pick<BlobIndex, 'find'>
  readonly signal: AbortSignal
  /** So many bytes of a file are in place. */
  readonly onBytes: (bytes: number) => void
  /** So many bytes of content came from the repository. */
  readonly onFetched: (bytes: number) => void
  /** All that can be had of a file is in place; it may be open. */
  readonly onDone: (file: TargetFile) => void
}

/** Spans fetched and written at a time: while one is being opened, the others are on their way. */
const LANES = 3
/** What they may hold in memory together, sealed and open. Bytes; what is larger goes alone. */
const IN_FLIGHT = 12 << 20
/**
 * Uses of chunks that are gathered before packs are read, so that each pack is read once: about a kilobyte each, with its file. Stock
 * restic and we put neighbouring files into the same packs, so what lies together is mostly needed together.
 */
const WINDOW = 4_096
/** Files kept open beside those being written to: the chunks of one file mostly lie together in a pack. */
const KEPT_OPEN = 48
/** Bytes of an earlier attempt that are hashed before other work gets its turn: some ten milliseconds. */
const TURN = 16 << 20

/** A chunk and everywhere it goes. */
interface Wanted {
  readonly place: BlobPlace
  readonly uses: { readonly file: TargetFile; readonly offset: number }[]
}

/**
 * Fills files that are added one by one. What they need is gathered by pack, packs in the order in which the first
 * byte of each is needed, and read in spans; a chunk that several places share is fetched once and written to all of
 * them. Every chunk was checked against its hash before it is written.
 */
export class ContentRestore {
  readonly #options: ContentOptions
  readonly #open = new OpenFiles()
  readonly #budget = new ByteBudget(IN_FLIGHT)
  /** By pack, then by chunk. A Map keeps the order in which its keys came. */
  readonly #wanted = new Map<string, Map<string, Wanted>>()
  #uses = 0
  /** Spans of the pack being read. */
  #spans: { readonly span: Span; readonly wanted: ReadonlyMap<string, Wanted> }[] = []
  #ended = false
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  /** For lanes without work. */
  readonly #gathered = new Bell()
  /** For a walk without room. */
  readonly #taken = new Bell()

  constructor(options: ContentOptions) {
    this.#options = options
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal])
    const wake = () => {
      this.#gathered.ring()
      this.#taken.ring()
    }
    this.#signal.addEventListener('abort', wake, { once: true })
  }

  /**
   * Fill all files that `walk` adds, and close them. Rejects, once nothing is written any more, with what `walk`
   * throws, what the reader or the target throws, or the signal's reason.
   */
  async run(walk: () => Promise<void>): Promise<void> {
    const walking = walk().then(() => {
      this.#ended = true
      this.#gathered.ring()
    })
    const tasks = [walking, ...Array.from({ length: LANES }, () => this.#lane())]
    const guarded = tasks.map((task) =>
      task.catch((error) => {
        this.#stop.abort(error)
        throw error
      }),
    )
    // All must have ended before descriptors may be closed.
    await Promise.allSettled(guarded)
    this.#open.closeAll()
    this.#options.signal.throwIfAborted()
    if (this.#stop.signal.aborted) throw this.#stop.signal.reason
  }

  /** A file is about to be opened: should the restore end before it is done, it is closed. */
  use(file: TargetFile): void {
    this.#open.use(file)
  }

  /** Take on a file with its chunks in order; waits while much is gathered already. */
  async add(file: TargetFile, content: readonly string[]): Promise<void> {
    let offset = 0
    let hashed = 0
    for (const id of content) {
      if (this.#uses >= WINDOW) await this.#roomOrStop()
      const place = this.#options.index.find('data', id)
      if (place === undefined) {
        throw new HoldfastError('internal', 'a chunk left the index during the restore')
      }
      const chunk = { id, offset, length: plainLength(place) }
      offset += chunk.length
      if (file.adopted) hashed += chunk.length
      if (file.isHole(chunk) || (file.adopted && this.#holds(file, chunk))) {
        file.missing--
        this.#options.onBytes(chunk.length)
      } else this.#want(place, file, chunk.offset)
      if (hashed > TURN) {
        hashed = 0
        await nextTurn()
        this.#signal.throwIfAborted()
      }
    }
    this.#oneLess(file)
  }

  #holds(file: TargetFile, chunk: { id: string; offset: number; length: number }): boolean {
    this.#open.use(file)
    return file.holds(chunk)
  }

  #want(place: BlobPlace, file: TargetFile, offset: number): void {
    let pack = this.#wanted.get(place.pack)
    if (pack === undefined) {
      pack = new Map()
      this.#wanted.set(place.pack, pack)
    }
    const wanted = pack.get(place.id)
    if (wanted === undefined) pack.set(place.id, { place, uses: [{ file, offset }] })
    else wanted.uses.push({ file, offset })
    this.#uses++
  }

  async #roomOrStop(): Promise<void> {
    while (this.#uses >= WINDOW) {
      this.#signal.throwIfAborted()
      this.#gathered.ring()
      await this.#taken.wait()
    }
    this.#signal.throwIfAborted()
  }

  async #lane(): Promise<void> {
    for (;;) {
      this.#signal.throwIfAborted()
      const next = this.#spans.shift()
      if (next !== undefined) await this.#fill(next.span, next.wanted)
      else if (this.#uses >= WINDOW || (this.#ended && this.#uses > 0)) this.#takePack()
      else if (this.#ended) return
      else await this.#gathered.wait()
    }
  }

  /** The pack whose first byte has been needed longest is read next. */
  #takePack(): void {
    const [pack, wanted] = this.#wanted.entries().next().value!
    this.#wanted.delete(pack)
    const places: BlobPlace[] = []
    for (const { place, uses } of wanted.values()) {
      places.push(place)
      this.#uses -= uses.length
    }
    places.sort((a, b) => a.offset - b.offset)
    this.#spans = spansOf(places).map((span) => ({ span, wanted }))
    this.#gathered.ring()
    this.#taken.ring()
  }

  async #fill(span: Span, wanted: ReadonlyMap<string, Wanted>): Promise<void> {
    const largest = span.blobs.reduce((most, blob) => Math.max(most, blob.uncompressedLength), 0)
    const bytes = span.end - span.offset + largest
    await this.#budget.take(bytes)
    try {
      this.#signal.throwIfAborted()
      await this.#options.reader.readSpan(span, (place, plain) => {
        this.#signal.throwIfAborted()
        return this.#put(wanted.get(place.id)!, plain)
      })
    } finally {
      this.#budget.release(bytes)
    }
  }

  /** Write a chunk wherever it belongs; undefined where that is done on return. */
  #put({ uses }: Wanted, plain: Buffer | undefined): Promise<void> | undefined {
    if (plain !== undefined) this.#options.onFetched(plain.length)
    for (let i = 0; i < uses.length; i++) {
      const { file, offset } = uses[i]!
      const pending = this.#putInto(file, offset, plain)
      if (pending !== undefined) return this.#putRest(pending, uses, i, plain!)
    }
    return undefined
  }

  async #putRest(
    begun: Promise<void>,
    uses: Wanted['uses'],
    at: number,
    plain: Buffer,
  ): Promise<void> {
    await begun
    this.#putDone(uses[at]!.file, plain)
    for (const { file, offset } of uses.slice(at + 1)) {
      this.#signal.throwIfAborted()
      const pending = this.#putInto(file, offset, plain)
      if (pending === undefined) continue
      await pending
      this.#putDone(file, plain)
    }
  }

  #putInto(file: TargetFile, offset: number, plain: Buffer | undefined): Promise<void> | undefined {
    if (plain !== undefined) {
      this.#open.use(file)
      const pending = file.write(offset, plain)
      if (pending !== undefined) return pending
    } else file.damaged = true
    this.#putDone(file, plain)
    return undefined
  }

  #putDone(file: TargetFile, plain: Buffer | undefined): void {
    if (plain !== undefined) this.#options.onBytes(plain.length)
    this.#oneLess(file)
  }

  #oneLess(file: TargetFile): void {
    if (--file.missing > 0) return
    this.#options.onDone(file)
    this.#open.close(file)
  }
}

/** Files with an open descriptor, the one used longest ago first to be closed. */
class OpenFiles {
  readonly #files = new Set<TargetFile>()

  /** `file` is about to be used. */
  use(file: TargetFile): void {
    this.#files.delete(file)
    this.#files.add(file)
    if (this.#files.size <= KEPT_OPEN) return
    for (const candidate of this.#files) {
      if (candidate === file || !candidate.idle) continue
      this.close(candidate)
      return
    }
  }

  close(file: TargetFile): void {
    this.#files.delete(file)
    file.close()
  }

  closeAll(): void {
    for (const file of this.#files) file.close()
    this.#files.clear()
  }
}
