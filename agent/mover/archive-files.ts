// The regular files of a run: those that are as they were, those of known content, and those that must be read.

import type { BigIntStats } from 'node:fs'
import type { Glance, Sighting } from '../native/glance.ts'
import { systemErrorCode } from '../native/syscall-error.ts'
import { encodePlainFile } from '../repository/plain-file.ts'
import type { TreeNode } from '../repository/tree.ts'
import type { SavedFile } from '../repository/writer.ts'
import type { SourceDirectory, SourceEntry, SourceFile } from '../sources/source.ts'
import type { ArchiveOptions, ArchiveWriter } from './archive-contract.ts'
import { type ArchiveNodes, isOther } from './archive-nodes.ts'
import { Place } from './archive-place.ts'
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
  sameContent,
  unsettled,
  unsettledSince,
} from './steady-read.ts'
import { asPlainFile } from './tree-node.ts'
import type { Gap, NodeOrText } from './tree-parts.ts'
import { unchangedContent } from './unchanged.ts'

/** Files read at a time: enough to have the next one at hand while a pack waits for its upload. Each takes about 11 MiB. */
const FILES_AT_ONCE = 3
/** Files open at a time: the kernel reads the beginnings of those to come while others are dealt with. */
const FILES_OPEN = 16

/** A regular file with one name and no attributes, as a glance showed it. */
export interface SeenEntry {
  /** One character per byte. */
  readonly name: string
  readonly seen: Sighting
  readonly gap: Gap
}

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
    this.#small = new SmallFiles({ save: (bytes) => this.#save(bytes) })
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
      const file = this.#openSmall(entry)
      if (file !== undefined) {
        const quick = this.#small.take({
          size: Number(file.stat.size),
          readInto: (into) => file.readInto(into),
          isSteady: () => sameContent(file.stat, file.now()),
          close: () => file.close(),
        })
        at.gap.node = background(this.#readSmall(quick, file.stat, entry, before, at))
        return
      }
    }
    await this.#files.take()
    const read = this.#read(entry, before, at).finally(() => this.#files.release())
    at.gap.node = background(read)
  }

  /** Undefined for what the steady read must deal with: it cannot be opened, grew, or was changed a moment ago. */
  #openSmall(entry: FileEntry): SourceFile | undefined {
    const { clock } = this.#deps.options
    if (unsettled(entry.stat, clock) > 0) return undefined
    let file: SourceFile
    try {
      file = entry.open()
    } catch (error) {
      if (systemErrorCode(error) === undefined) throw error
      return undefined
    }
    if (file.stat.size <= BigInt(SMALL_FILE) && unsettled(file.stat, clock) === 0) return file
    file.close()
    return undefined
  }

  /** Whether a file that `glance` shows may be read by `takeSeen`. */
  mayTakeSeen({ links, size, changedSeconds, changedNanoseconds }: Glance): boolean {
    if (links !== 1 || size > SMALL_FILE) return false
    return unsettledSince(changedSeconds, changedNanoseconds, this.#deps.options.clock) === 0
  }

  /** Deal with a plain small file whose content is not known. `isNew`: the parent has no file of its name. */
  async takeSeen(directory: SourceDirectory, above: Buffer, file: SeenEntry): Promise<void> {
    await this.#small.ready()
    const { name, seen, gap } = file
    const open = directory.openSeen(name, seen)
    if (open === undefined) {
      gap.node = this.#deps.background(this.#readAnew(directory, above, file))
      return
    }
    const quick = this.#small.take({
      size: seen.size,
      readInto: (into) => open.readInto(into),
      isSteady: () => open.isAsSeen(),
      close: () => open.close(),
    })
    gap.node = this.#deps.background(this.#readSeen(quick, directory, above, file))
  }

  async #readSeen(
    quick: Promise<SmallOutcome<SavedFile>>,
    directory: SourceDirectory,
    above: Buffer,
    file: SeenEntry,
  ): Promise<NodeOrText | undefined> {
    const { tally, signal, options } = this.#deps
    const { name, seen, gap } = file
    const outcome = await quick
    if (outcome.kind === 'other') {
      signal.throwIfAborted()
      return this.#readAnew(directory, above, file, outcome.earlier)
    }
    const { size } = seen
    tally.progress.bytes += size
    tally.file(gap.before(), BigInt(size), false)
    return encodePlainFile(asPlainFile(name, seen, options), outcome.saved.content)
  }

  /** Whatever a seen file became: look at its name again, and read it with patience. */
  async #readAnew(
    directory: SourceDirectory,
    above: Buffer,
    { name, gap }: SeenEntry,
    earlier?: EarlierRead,
  ): Promise<TreeNode | undefined> {
    await this.#files.take()
    try {
      const entry = directory.look(Buffer.from(name, 'latin1'))
      const at = new Place(directory, above, entry.name, gap)
      return await this.#read(entry, gap.before(), at, earlier)
    } finally {
      this.#files.release()
    }
  }

  async #readSmall(
    quick: Promise<SmallOutcome<SavedFile>>,
    stat: BigIntStats,
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
    const { saved } = outcome
    this.#links.remember(stat, saved.content)
    tally.progress.bytes += Number(saved.size)
    tally.file(before, saved.size, false)
    return nodes.file(entry, stat, saved, at)
  }

  async #read(
    entry: SourceEntry,
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
