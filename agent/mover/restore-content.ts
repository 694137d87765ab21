// The content of many files at once, fetched in the order in which it lies in the repository.

import { HoldfastError } from '../../shared/errors.ts'
import type { BlobIndex } from '../repository/index.ts'
import type { RepositoryReader } from '../repository/reader.ts'
import type { Chunk, TargetFile } from './target-file.ts'

export interface ContentOptions {
  readonly reader: Pick<RepositoryReader, 'loadFile'>
  readonly index: Pick<BlobIndex, 'find'>
  readonly signal: AbortSignal
  /** So many bytes of a file are in place. */
  readonly onBytes: (bytes: number) => void
  /** So many bytes came from the repository. */
  readonly onFetched: (bytes: number) => void
  /** All of a file is in place and was read back; it is open. */
  readonly onDone: (file: TargetFile) => void
}

/** Files kept open beside those being written to: the chunks of one file mostly lie together in a pack. */
const KEPT_OPEN = 48
/** Packs fetched from at a time, each about 16 MiB ahead of the writing. */
const LANES = 2

/** Where a chunk goes. */
interface Destination {
  readonly file: TargetFile
  readonly chunk: Chunk
}

/**
 * Fill `files`, each closed again when this resolves. A chunk that several of them share is fetched once; a pack
 * is read from its start to its end. Every chunk is read back and hashed before its file counts as done.
 */
export async function restoreContent(
  files: readonly TargetFile[],
  options: ContentOptions,
): Promise<void> {
  const open = new OpenFiles()
  try {
    const wanted = new Map<string, Destination[]>()
    for (const file of files) {
      options.signal.throwIfAborted()
      open.use(file)
      for (const chunk of file.chunks) {
        if (file.isHole(chunk) || (file.adopted && file.holds(chunk))) {
          file.missing--
          options.onBytes(chunk.length)
          continue
        }
        const destinations = wanted.get(chunk.id)
        if (destinations) destinations.push({ file, chunk })
        else wanted.set(chunk.id, [{ file, chunk }])
      }
      if (file.missing === 0) finish(file, options)
    }
    await fetchInto(wanted, open, options)
  } finally {
    for (const file of files) file.close()
  }
}

async function fetchInto(
  wanted: ReadonlyMap<string, readonly Destination[]>,
  open: OpenFiles,
  options: ContentOptions,
): Promise<void> {
  const stop = new AbortController()
  const signal = AbortSignal.any([options.signal, stop.signal])
  const fill = async (lane: readonly string[]) => {
    let at = 0
    for await (const bytes of options.reader.loadFile(lane)) {
      signal.throwIfAborted()
      options.onFetched(bytes.length)
      for (const { file, chunk } of wanted.get(lane[at]!)!) {
        open.use(file)
        await file.write(chunk, bytes)
        file.missing--
        options.onBytes(chunk.length)
        if (file.missing === 0) finish(file, options)
      }
      at++
    }
  }
  const lanes = planLanes([...wanted.keys()], options.index).map((lane) =>
    fill(lane).catch((error) => {
      stop.abort(error)
      throw error
    }),
  )
  // All must have ended before descriptors may be closed.
  await Promise.allSettled(lanes)
  await Promise.all(lanes)
}

/** Chunks in the order of packs and of offsets in them, whole packs dealt out to the lanes in turn. */
function planLanes(ids: readonly string[], index: Pick<BlobIndex, 'find'>): string[][] {
  const places = ids.map((id) => {
    const place = index.find('data', id)
    if (!place) throw new HoldfastError('internal', 'a chunk left the index during the restore')
    return place
  })
  places.sort((a, b) => (a.pack < b.pack ? -1 : a.pack > b.pack ? 1 : a.offset - b.offset))
  const lanes = Array.from({ length: LANES }, (): string[] => [])
  let lane = -1
  let pack = ''
  for (const place of places) {
    if (place.pack !== pack) lane = (lane + 1) % LANES
    pack = place.pack
    lanes[lane]!.push(place.id)
  }
  return lanes.filter((ids) => ids.length > 0)
}

/** Read every chunk back: what the disk gives is what the snapshot holds, or the restore has failed. */
function finish(file: TargetFile, { onDone }: ContentOptions): void {
  for (const chunk of file.chunks) {
    if (!file.holds(chunk)) {
      throw new HoldfastError('internal', 'a restored file reads back with other bytes', {
        hint: 'check the disk and the memory of this host, then restore again',
      })
    }
  }
  onDone(file)
  file.close()
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
      candidate.close()
      this.#files.delete(candidate)
      return
    }
  }
}
