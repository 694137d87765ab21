// Reading out of a repository: by blob, by tree, by file. Everything that leaves here was checked against its id.
import type { ObjectStore } from '../storage/object-store.ts'
import { type BlobType, openBlob } from './blob.ts'
import type { RepositoryCache } from './cache.ts'
import { damaged, RepositoryError } from './errors.ts'
import type { Id } from './id.ts'
import type { BlobIndex, BlobPlace } from './index.ts'
import { objectKey } from './layout.ts'
import { readAhead } from './read-ahead.ts'
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
}

/** Blobs of one pack that lie closer together than this many bytes are fetched by one request. */
const gapLimit = 256 * 1024
/** One request asks for no more than about this many bytes, unless a single blob is longer. */
const spanLimit = 8 * 1024 * 1024

/** Requests on their way while a file's earlier ones are worked on. */
const spansAhead = 1

/** Neighbouring blobs of one pack, to be fetched by one request. */
interface Span {
  readonly pack: Id
  readonly type: BlobType
  readonly offset: number
  end: number
  readonly blobs: BlobPlace[]
}

export function createReader(options: ReaderOptions): RepositoryReader {
  const { store, repository, index, cache } = options

  async function fetchSpan(span: Span): Promise<Buffer> {
    const range = { offset: span.offset, length: span.end - span.offset }
    const bytes = await store.get(objectKey('data', span.pack), range)
    return asBuffer(bytes)
  }

  async function loadBlob(type: BlobType, id: Id): Promise<Buffer> {
    const places = index.findAll(type, id)
    if (places.length === 0) throw new RepositoryError('unknown-blob', `${type} blob ${id}`)
    if (type === 'tree' && cache !== undefined) {
      const cached = await fromCache(cache, places)
      if (cached !== undefined) return cached
    }
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

  return { loadBlob, loadTree, loadFile }
}

function spanOf(place: BlobPlace): Span {
  const { pack, type, offset, length } = place
  return { pack, type, offset, end: offset + length, blobs: [place] }
}

function planSpans(index: BlobIndex, content: readonly Id[]): Span[] {
  const spans: Span[] = []
  for (const id of content) {
    const place = index.find('data', id)
    if (place === undefined) throw new RepositoryError('unknown-blob', `data blob ${id}`)
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
