// Walking all trees below some roots, each once, pack by pack: a pack of trees is fetched whole where much of it is
// wanted, because a request for every directory would take a store with latency hours.
import type { ObjectStore } from '../storage/object-store.ts'
import { openBlob } from './blob.ts'
import { RepositoryError } from './errors.ts'
import type { Id } from './id.ts'
import type { BlobIndex, BlobPlace } from './index.ts'
import { objectKey } from './layout.ts'
import { createReader } from './reader.ts'
import type { Repository } from './repository.ts'
import { decodeTree, type TreeNode } from './tree.ts'

/** Packs worked on at a time: while one is fetched the other is read. */
const lanes = 2
/** Trees of a pack fetched one by one, at a time. */
const fetches = 8
/** A pack is fetched whole if the trees that are wanted of it make up a sixteenth of it, as requests cost more. */
const wholeFrom = 1 / 16

export interface TreeWalkOptions {
  readonly store: ObjectStore
  readonly repository: Repository
  readonly index: BlobIndex
  readonly signal?: AbortSignal | undefined
  /** Every tree once, in no particular order. Its subtrees follow. */
  visit(id: Id, nodes: TreeNode[]): void
  /** A tree that cannot be read from any place; the walk goes on unless this throws. */
  failed(id: Id, error: unknown): void
  /** A tree that no index file lists, once for each time it is met. */
  unknown(id: Id): void
}

/** Walk all trees below `roots`; returns how many there are. Which tree is damaged is not decided here. */
export async function walkTrees(options: TreeWalkOptions, roots: Iterable<Id>): Promise<number> {
  const { store, repository, index, signal, visit, failed, unknown } = options
  const reader = createReader({ store, repository, index })
  // One bit per known blob: trees shared by many snapshots are read once, within bounded memory.
  const seen = new Uint8Array((index.size >> 3) + 1)
  /** Trees still to be read, by their pack. */
  const waiting = new Map<Id, BlobPlace[]>()
  const busy = new Set<Id>()
  let trees = 0

  function enqueue(id: Id): void {
    const number = index.numberOf('tree', id)
    if (number < 0) {
      unknown(id)
      return
    }
    const bit = 1 << (number & 7)
    if ((seen[number >> 3]! & bit) !== 0) return
    seen[number >> 3]! |= bit
    const place = index.find('tree', id)!
    const list = waiting.get(place.pack)
    if (list === undefined) waiting.set(place.pack, [place])
    else list.push(place)
  }

  /** The pack of which most is wanted, that nobody works on. */
  function choose(): Id | undefined {
    let chosen: Id | undefined
    let most = 0
    for (const [pack, places] of waiting) {
      if (places.length <= most || busy.has(pack)) continue
      chosen = pack
      most = places.length
    }
    return chosen
  }

  async function readPack(pack: Id): Promise<void> {
    const places = waiting.get(pack)!
    let bytes: Uint8Array | undefined
    let tried = false
    // Reading a tree may add more of the same pack: after a root by itself most of the pack may be wanted.
    while (places.length > 0) {
      signal?.throwIfAborted()
      if (!tried && places.length > 1 && isMuch(places)) {
        tried = true
        // A pack that is not there whole may still hold the trees, or other packs may: the reader will find out.
        bytes = await store.get(objectKey('data', pack)).catch(() => undefined)
      }
      const some = places.splice(-fetches)
      await Promise.all(some.map((place) => readTree(place, bytes)))
    }
    waiting.delete(pack)
  }

  async function readTree(place: BlobPlace, pack: Uint8Array | undefined): Promise<void> {
    trees++
    let nodes: TreeNode[]
    try {
      nodes = decodeTree(openFrom(place, pack) ?? (await reader.loadBlob('tree', place.id)))
    } catch (error) {
      failed(place.id, error)
      return
    }
    visit(place.id, nodes)
    for (const { type, subtree } of nodes) {
      if (type === 'dir' && subtree !== undefined) enqueue(subtree)
    }
  }

  function openFrom(place: BlobPlace, pack: Uint8Array | undefined): Buffer | undefined {
    if (pack === undefined) return undefined
    const { id, offset, length, uncompressedLength } = place
    const sealed = pack.subarray(offset, offset + length)
    try {
      return openBlob({ key: repository.masterKey, id, sealed, uncompressedLength })
    } catch (error) {
      if (error instanceof RepositoryError) return undefined
      throw error
    }
  }

  for (const root of roots) enqueue(root)
  const running = new Set<Promise<void>>()
  for (;;) {
    signal?.throwIfAborted()
    const pack = running.size < lanes ? choose() : undefined
    if (pack === undefined) {
      if (running.size === 0) return trees
      await Promise.race(running)
      continue
    }
    busy.add(pack)
    const work: Promise<void> = readPack(pack).finally(() => {
      busy.delete(pack)
      running.delete(work)
    })
    // A failure reaches the loop through `race`; until then it must not count as unhandled.
    work.catch(() => {})
    running.add(work)
  }
}

/** Whether trees make up so much of their pack, as far as it is known, that all of it had better be fetched. */
function isMuch(places: readonly BlobPlace[]): boolean {
  let wanted = 0
  let end = 0
  for (const { offset, length } of places) {
    wanted += length
    end = Math.max(end, offset + length)
  }
  return wanted >= end * wholeFrom
}
