// Reading out of a repository: by blob, by tree, by file. Everything that leaves here was checked against its id.
import { type ObjectStore, StorageError } from '../storage/object-store.ts'
import { longContent, openBlobBeside } from './background-open.ts'
import { type BlobType, blobLimit, openBlob, openBlobInto } from './blob.ts'
import type { RepositoryCache } from './cache.ts'
import { ivBytes, macBytes } from './cipher.ts'
import { damaged, RepositoryError } from './errors.ts'
import type { Id } from './id.ts'
import type { BlobIndex, BlobPlace } from './index.ts'
import { objectKey } from './layout.ts'
import { readAhead } from './read-ahead.ts'
import { release } from './release.ts'
import type { Repository } from './repository.ts'
import { compareNodes, decodeTree, type TreeNode, treeFaults } from './tree.ts'

export interface ReaderOptions {
  readonly store: ObjectStore
  readonly repository: Repository
  readonly index: BlobIndex
  /** Tree packs kept on this host; what is damaged there is read from the store instead. */
  readonly cache?: RepositoryCache
}

export interface RepositoryReader {
  /** The content of one blob. Rejects with `unknown-blob` or `damaged`, or with the store's own error. */
  loadBlob(type: BlobType, id: Id): Promise<Buffer>
  /**
   * The nodes of a tree, in order. Rejects with `illegal-name` or `damaged` where restoring it could leave its
   * directory or touch an entry twice.
   */
  loadTree(id: Id): Promise<TreeNode[]>
  /** The chunks of a file in order, neighbours in a pack fetched together, the next request already on its way. */
  loadFile(content: readonly Id[]): AsyncGenerator<Buffer>
  /**
   * Fetch a span by one request and hand its blobs to `take` in order, each once. A blob that is damaged or gone
   * there is looked for in the other packs that hold it; where none gives it whole, `take` gets undefined.
   * Rejects with what `take` throws, and with the store's error where it does not answer or refuses.
   */
  readSpan(span: Span, take: TakeBlob): Promise<void>
}

/** `bytes` is lent until `take` returns, or what it returned resolves. */
export type TakeBlob = (place: BlobPlace, bytes: Buffer | undefined) => Promise<void> | undefined

/** Neighbouring blobs of one pack, to be fetched by one request. */
export interface Span {
  readonly pack: Id
  /** Bytes from the start of the pack. */
  readonly offset: number
  /** One past the last byte. */
  readonly end: number
  /** In the order of their offsets. */
  readonly blobs: readonly BlobPlace[]
}

/** Blobs of one pack that lie closer together than this many bytes are fetched by one request. */
const gapLimit = 256 * 1024
/**
 * One request asks for no more than about this many bytes, unless a single blob is longer: at 50 ms of latency, three
 * of them under way fill 1 Gbit/s, and take less than a pack's memory.
 */
const spanLimit = 4 * 1024 * 1024

/** Most chunks are no longer; what is gets memory of its own. Bytes. */
const scratchBytes = 2 * 1024 * 1024

/** Requests on their way while a file's earlier ones are worked on. */
const spansAhead = 2

export function createReader(options: ReaderOptions): RepositoryReader {
  const { store, repository, index, cache } = options
  /** Memory that spans under way open their blobs into, kept from one to the next. */
  const scratches: Buffer[] = []

  async function fetchSpan(span: Span): Promise<Buffer> {
    const range = { offset: span.offset, length: span.end - span.offset }
    const bytes = await store.get(objectKey('data', span.pack), range)
    return asBuffer(bytes)
  }

  async function readSpan(span: Span, take: TakeBlob): Promise<void> {
    const fetched = await fetchIfThere(span)
    const bytes = typeof fetched === 'string' ? undefined : fetched
    let scratch = scratches.pop() ?? Buffer.allocUnsafeSlow(scratchBytes)
    try {
      for (const place of span.blobs) {
        const room = Math.min(place.uncompressedLength, blobLimit)
        if (room > scratch.length) {
          release(scratch)
          scratch = Buffer.allocUnsafeSlow(room)
        }
        const opened = openWithin(bytes, span, place, scratch)
        const plain =
          (opened instanceof Promise ? await opened : opened) ?? (await loadAgain(place, fetched))
        const pending = take(place, plain)
        if (pending !== undefined) await pending
      }
    } finally {
      if (scratch.length === scratchBytes) scratches.push(scratch)
      else release(scratch)
      if (bytes !== undefined) release(bytes)
    }
  }

  /**
   * A blob out of a fetched span, opened in place or into `scratch`; undefined if it is not whole there. A long one is
   * opened beside this thread: other spans' blobs are opened and written meanwhile.
   */
  function openWithin(
    bytes: Buffer | undefined,
    span: Span,
    place: BlobPlace,
    scratch: Buffer,
  ): Promise<Buffer | undefined> | Buffer | undefined {
    if (bytes === undefined) return undefined
    const from = place.offset - span.offset
    const sealed = bytes.subarray(from, from + place.length)
    const { id, uncompressedLength } = place
    // What claims more than any blob may hold goes the long way, which says so.
    if (sealed.length !== place.length || uncompressedLength > scratch.length) return undefined
    const isPacked = uncompressedLength > 0
    const into = isPacked
      ? scratch.subarray(0, uncompressedLength)
      : sealed.subarray(ivBytes, -macBytes)
    const blob = { key: repository.masterKey, id, sealed, uncompressedLength }
    if (into.length >= longContent)
      return openBlobBeside(blob, into).then(() => into, unlessDamaged)
    try {
      openBlobInto(blob, into)
      return into
    } catch (error) {
      return unlessDamaged(error)
    }
  }

  /** A blob that was not whole in the span it was looked for in. */
  function loadAgain(place: BlobPlace, fetched: Buffer | 'gone' | 'short') {
    const places = index.findAll(place.type, place.id)
    // Where the whole pack is gone, asking it for every single blob would only take time.
    return loadIfWhole(places.filter(({ pack }) => fetched !== 'gone' || pack !== place.pack))
  }

  async function fetchIfThere(span: Span): Promise<Buffer | 'gone' | 'short'> {
    try {
      return await fetchSpan(span)
    } catch (error) {
      if (!isLost(error)) throw error
      return error.code === 'absent' ? 'gone' : 'short'
    }
  }

  /** A blob from whichever place has it whole; undefined if none has. */
  async function loadIfWhole(places: readonly BlobPlace[]): Promise<Buffer | undefined> {
    if (places.length === 0) return undefined
    try {
      return await loadFrom(places)
    } catch (error) {
      if (isLost(error) || error instanceof RepositoryError) return undefined
      throw error
    }
  }

  async function loadBlob(type: BlobType, id: Id): Promise<Buffer> {
    const places = index.findAll(type, id)
    if (places.length === 0) throw new RepositoryError('unknown-blob', `${type} blob ${id}`)
    if (type === 'tree' && cache !== undefined) {
      const cached = await fromCache(cache, places)
      if (cached !== undefined) return cached
    }
    return loadFrom(places)
  }

  async function loadFrom(places: readonly BlobPlace[]): Promise<Buffer> {
    let failure: unknown
    for (const place of places) {
      try {
        const sealed = await fetchSpan(spanOf(place))
        return openPlace(place, sealed)
      } catch (error) {
        // The same blob may lie in another pack that is not damaged.
        failure ??= error
      }
    }
    throw failure
  }

  function openPlace(place: BlobPlace, sealed: Uint8Array): Buffer {
    const { id, length, uncompressedLength } = place
    if (sealed.length !== length) throw damaged(`pack ${place.pack} ended inside blob ${id}`)
    return openBlob({ key: repository.masterKey, id, sealed, uncompressedLength })
  }

  async function fromCache(
    kept: RepositoryCache,
    places: readonly BlobPlace[],
  ): Promise<Buffer | undefined> {
    for (const place of places) {
      const sealed = await kept.readRange(place.pack, place.offset, place.length)
      if (sealed === undefined) continue
      try {
        return openPlace(place, sealed)
      } catch (error) {
        // A damaged cache is as good as none: the store has the truth.
        if (!(error instanceof RepositoryError)) throw error
      }
    }
    return undefined
  }

  async function loadTree(id: Id): Promise<TreeNode[]> {
    const nodes = decodeTree(await loadBlob('tree', id))
    const faults = treeFaults(nodes)
    const worst = faults.find(({ fault }) => fault !== 'unsorted')
    if (worst !== undefined) {
      const code = worst.fault === 'illegal-name' ? 'illegal-name' : 'damaged'
      throw new RepositoryError(code, `tree ${id}, node ${worst.node}: ${worst.fault}`)
    }
    if (faults.length > 0) nodes.sort(compareNodes)
    return nodes
  }

  async function* loadFile(content: readonly Id[]): AsyncGenerator<Buffer> {
    const spans = planSpans(index, content)
    for await (const { item: span, result } of readAhead(spans, fetchSpan, spansAhead)) {
      const bytes = await result.catch(() => undefined)
      for (const place of span.blobs) {
        yield openFrom(bytes, span, place) ?? (await loadBlob('data', place.id))
      }
    }
  }

  /** A blob out of a fetched span; undefined if it is not whole there and must be looked for by itself. */
  function openFrom(bytes: Buffer | undefined, span: Span, place: BlobPlace): Buffer | undefined {
    if (bytes === undefined) return undefined
    const from = place.offset - span.offset
    try {
      return openPlace(place, bytes.subarray(from, from + place.length))
    } catch (error) {
      if (error instanceof RepositoryError) return undefined
      throw error
    }
  }

  return { loadBlob, loadTree, loadFile, readSpan }
}

function unlessDamaged(error: unknown): undefined {
  if (!(error instanceof RepositoryError)) throw error
}

/** Whether the store says that what was asked for is not there: nothing that waiting would bring back. */
function isLost(error: unknown): error is StorageError {
  return error instanceof StorageError && (error.code === 'absent' || error.code === 'truncated')
}

function spanOf(place: BlobPlace): GrowingSpan {
  const { pack, offset, length } = place
  return { pack, offset, end: offset + length, blobs: [place] }
}

interface GrowingSpan extends Span {
  end: number
  readonly blobs: BlobPlace[]
}

function planSpans(index: BlobIndex, content: readonly Id[]): Span[] {
  const places = content.map((id) => {
    const place = index.find('data', id)
    if (place === undefined) throw new RepositoryError('unknown-blob', `data blob ${id}`)
    return place
  })
  return spansOf(places)
}

/** Gather places into spans, keeping their order: neighbours that follow one another in a pack share a request. */
export function spansOf(places: Iterable<BlobPlace>): Span[] {
  const spans: GrowingSpan[] = []
  for (const place of places) {
    const last = spans.at(-1)
    const end = place.offset + place.length
    const joins =
      last !== undefined &&
      last.pack === place.pack &&
      place.offset >= last.end &&
      place.offset - last.end <= gapLimit &&
      end - last.offset <= spanLimit
    if (joins) {
      last.blobs.push(place)
      last.end = end
    } else spans.push(spanOf(place))
  }
  return spans
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
