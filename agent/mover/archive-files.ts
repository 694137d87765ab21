// The regular files of a run: those that are as they were, those of known content, and those that must be read.

import type { TreeNode } from '../repository/tree.ts'
import type { SavedFile } from '../repository/writer.ts'
import type { SourceEntry } from '../sources/source.ts'
import type { ArchiveOptions, ArchiveWriter } from './archive-contract.ts'
import { type ArchiveNodes, isOther } from './archive-nodes.ts'
import type { Place } from './archive-place.ts'
import type { ArchiveTally } from './archive-tally.ts'
import { LinkedFiles } from './linked-files.ts'
import { Slots } from './slots.ts'
import { SMALL_FILE, SmallFiles, type SmallOutcome } from './small-files.ts'
import {
  type EarlierRead,
  type FileEntry,
  isArray,
  readSteadily,
  type SteadyReadDeps,
} from './steady-read.ts'
import { unchangedContent } from './unchanged.ts'

/** Files read at a time: enough to have the next one at hand while a pack waits for its upload. Each takes about 11 MiB. */
const FILES_AT_ONCE = 3
/** Files open at a time: the kernel reads the beginnings of those to come while others are dealt with. */
const FILES_OPEN = 16

export interface ArchiveFilesDeps {
  readonly options: ArchiveOptions
  readonly tally: ArchiveTally
  readonly nodes: ArchiveNodes
  readonly signal: AbortSignal
  /** Whether a chunk needs no saving. */
  readonly knows: (chunk: string) => boolean
  /** Takes note of work that goes on beside the walk. */
  readonly background: <T>(work: Promise<T>) => Promise<T>
}

export class ArchiveFiles {
  readonly #deps: ArchiveFilesDeps
  readonly #files = new Slots(FILES_OPEN)
  readonly #reading = new Slots(FILES_AT_ONCE)
  readonly #links = new LinkedFiles()
  readonly #small: SmallFiles<SavedFile>

  constructor(deps: ArchiveFilesDeps) {
    this.#deps = deps
    const { clock } = deps.options
    this.#small = new SmallFiles({ save: (bytes) => this.#save(bytes), clock })
  }

  /** Read all that is open and was not read yet. */
  finish(): Promise<void> {
    return this.#small.finish()
  }

  /** Close what will not be read any more. */
  giveUp(): void {
    this.#small.giveUp()
  }

  /** Deal with one file; its node, or the promise of it, goes into `at.gap`. Waits while too many are under way. */
  async take(entry: FileEntry, at: Place): Promise<void> {
    const { nodes, tally, knows, background } = this.#deps
    const before = at.gap.before()
    const kept = unchangedContent(entry.stat, before, knows)
    const known = kept ?? this.#links.contentOf(entry.stat)
    if (known) {
      const saved = { content: known, size: entry.stat.size }
      at.gap.node = nodes.file(entry, entry.stat, saved, at)
      tally.progress.bytes += Number(saved.size)
      tally.file(before, saved.size, kept !== undefined)
      return
    }
    if (entry.stat.size <= BigInt(SMALL_FILE)) {
      await this.#small.ready()
      const quick = this.#small.open(entry)
      if (quick !== undefined) {
        at.gap.node = background(this.#readSmall(quick, entry, before, at))
        return
      }
    }
    await this.#files.take()
    const read = this.#read(entry, before, at).finally(() => this.#files.release())
    at.gap.node = background(read)
  }

  async #readSmall(
    quick: Promise<SmallOutcome<SavedFile>>,
    entry: FileEntry,
    before: TreeNode | undefined,
    at: Place,
  ): Promise<TreeNode | undefined> {
    const { nodes, tally, signal } = this.#deps
    const outcome = await quick
    if (outcome.kind === 'other') {
      signal.throwIfAborted()
      await this.#files.take()
      return this.#read(entry, before, at, outcome.earlier).finally(() => this.#files.release())
    }
    const { stat, saved } = outcome
    this.#links.remember(stat, saved.content)
    tally.progress.bytes += Number(saved.size)
    tally.file(before, saved.size, false)
    return nodes.file(entry, stat, saved, at)
  }

  async #read(
    entry: FileEntry,
    before: TreeNode | undefined,
    at: Place,
    earlier?: EarlierRead,
  ): Promise<TreeNode | undefined> {
    const { nodes, signal, tally } = this.#deps
    const { clock, isVolatile } = this.#deps.options
    const { remarks } = tally
    let counted = 0
    const deps: SteadyReadDeps<SavedFile> = {
      look: () => at.directory.look(entry.name),
      save: (chunks) => {
        tally.progress.bytes -= counted // of a read that was not the last
        counted = 0
        if (isArray(chunks)) return this.#save(chunks)
        const watched = this.#watched(chunks, (length) => {
          counted += length
        })
        return this.#save(watched)
      },
      reading: this.#reading,
      clock,
      signal,
    }
    const outcome = await readSteadily(entry, deps, earlier)
    if (outcome.kind === 'gone') remarks.add('vanished', at.path)
    else if (outcome.kind === 'unreadable') remarks.add('unreadable', at.path, outcome.code)
    else if (outcome.kind === 'replaced') return this.#replaced(outcome.entry, at)
    if (outcome.kind !== 'saved') return undefined
    const { stat, saved, change } = outcome
    if (change === 'grew') remarks.add('grew', at.path)
    else if (change) remarks.add(isVolatile(at.path) ? 'volatile' : 'changed', at.path)
    else this.#links.remember(stat, saved.content)
    tally.progress.bytes += Number(saved.size) - counted
    tally.file(before, saved.size, false)
    return nodes.file(outcome.entry, stat, saved, at)
  }

  /** What was a file when it was listed became something else before it could be read. */
  #replaced(entry: SourceEntry, at: Place): TreeNode | undefined {
    const { nodes, tally } = this.#deps
    const { remarks } = tally
    if (entry.kind === 'socket') remarks.add('socket', at.path)
    else if (entry.kind === 'dir') remarks.add('unreadable', at.path, 'EISDIR')
    else if (isOther(entry)) return nodes.other(entry, at)
    return undefined
  }

  async *#watched(
    chunks: AsyncIterable<Uint8Array>,
    passed: (length: number) => void,
  ): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      yield chunk
      passed(chunk.length)
      this.#deps.tally.progress.bytes += chunk.length
      this.#deps.tally.report()
    }
  }

  /** What a read stored is stored, also when the file has to be read once more. */
  async #save(chunks: Parameters<ArchiveWriter['saveFile']>[0]): Promise<SavedFile> {
    const saved = await this.#deps.options.writer.saveFile(chunks)
    this.#deps.tally.added('data', saved.added)
    return saved
  }
}
