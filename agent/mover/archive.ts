// From a source to a root tree: walk, save files as they come, save each directory after all below it.

import type { BigIntStats } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Glance } from '../native/glance.ts'
import { systemErrorCode } from '../native/syscall-error.ts'
import { encodeTree, type TreeNode } from '../repository/tree.ts'
import type { SavedFile } from '../repository/writer.ts'
import { measure } from '../sources/measure.ts'
import type { Passed, Source, SourceDirectory, SourceEntry } from '../sources/source.ts'
import {
  type Archived,
  type ArchiveOptions,
  type ArchiveProgress,
  type ArchiveRemark,
  type ArchiveWriter,
  archiveWarnings,
} from './archive-contract.ts'
import { ArchiveCounts } from './archive-counts.ts'
import { Place } from './archive-place.ts'
import { LinkedFiles } from './linked-files.ts'
import { NamedCounts } from './named-counts.ts'
import { ParentDirectory, soundNodes } from './parent-directory.ts'
import { Slots } from './slots.ts'
import { findNode, saveAbove } from './snapshot-path.ts'
import { type FileEntry, isArray, readSteadily } from './steady-read.ts'
import { commonFields, linkFields } from './tree-node.ts'
import { type Gap, TreeParts } from './tree-parts.ts'
import { isAsBefore, unchangedContent } from './unchanged.ts'

/** Files read at a time: enough to have the next one at hand while a pack waits for its upload. Each takes about 11 MiB. */
const FILES_AT_ONCE = 3
/** Files open at a time: the kernel reads the beginnings of those to come while others are dealt with. */
const FILES_OPEN = 16
/** Directories whose listing waits for its last files or for the writer; they hold a descriptor and their nodes. */
const OPEN_ENDS = 64
/** Entries dealt with before other work gets its turn: about a millisecond. */
const TURN = 200

/**
 * Save everything in `source`. Throws the system's error if its root cannot be opened or listed, what the
 * writer throws, and the signal's reason; whatever else goes wrong in the source becomes a remark.
 */
export async function archive(options: ArchiveOptions): Promise<Archived> {
  return new Archive(options).run()
}

/** A node that will be known later, in an object so that awaiting the walk does not await it too. */
interface Walked {
  readonly node: Promise<TreeNode>
}

/** An open directory with what is made of it. */
interface Listing {
  readonly directory: SourceDirectory
  readonly parts: TreeParts
  /** Of the entries to come, in their order; none where there is no parent. */
  readonly gaps: readonly Gap[]
  readonly entries: Iterable<SourceEntry | Passed>
}

type Content = Required<Pick<TreeNode, 'content' | 'size'>>
type Described = Pick<SourceDirectory, 'stat' | 'attributes'>
type DirectoryEntry = Extract<SourceEntry, { kind: 'dir' }>
type OtherEntry = Exclude<
  Extract<SourceEntry, Described>,
  { kind: 'file' } | { kind: 'dir' } | { kind: 'socket' }
>

class Archive {
  readonly #options: ArchiveOptions
  readonly remarks = new NamedCounts<ArchiveRemark>((what) => archiveWarnings.has(what))
  readonly #progress: ArchiveProgress
  readonly #counts = new ArchiveCounts()
  readonly #files = new Slots(FILES_OPEN)
  readonly #reading = new Slots(FILES_AT_ONCE)
  readonly #ends = new Slots(OPEN_ENDS)
  /** What goes on beside the walk; all of it has ended before `run` does. */
  readonly #underWay = new Set<Promise<unknown>>()
  /** Stops everything when one part fails. */
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  readonly #links = new LinkedFiles()
  #seen = 0

  constructor(options: ArchiveOptions) {
    this.#options = options
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal])
    this.#progress = { files: 0, directories: 0, bytes: 0, total: options.expected }
  }

  async run(): Promise<Archived> {
    const { source, expected } = this.#options
    this.#signal.throwIfAborted()
    try {
      if (!expected) this.#background(this.#measure())
      const tree = await this.#root(source)
      const warned = [...archiveWarnings].some((what) => this.remarks.count(what) > 0)
      return { tree, statistics: this.#counts, remarks: this.remarks, warned }
    } catch (error) {
      this.#stop.abort(error)
      throw error
    } finally {
      this.#stop.abort()
      while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay)
    }
  }

  async #measure(): Promise<void> {
    this.#progress.total = await measure(this.#options.source, this.#signal).catch(() => undefined)
    this.#report()
  }

  async #root(source: Source): Promise<string> {
    const { parentTree, loadTree } = this.#options
    const nodesOf = async (id: string) => {
      const text = await loadTree(id)
      return text && soundNodes(text)
    }
    const before =
      parentTree === undefined ? undefined : await findNode(source.path, parentTree, nodesOf)
    const parent = await this.#parentOf(before)
    const listing = this.#list(source.open(), parent)
    const walked = await this.#directory(source.path.at(-1)!, listing, Buffer.alloc(0), before)
    return saveAbove(source.path, await walked.node, (nodes) => this.#saveTree(encodeTree(nodes)))
  }

  async #parentOf(before: TreeNode | undefined): Promise<ParentDirectory | undefined> {
    if (before?.subtree === undefined) return undefined
    const text = await this.#options.loadTree(before.subtree)
    return text && new ParentDirectory(text)
  }

  /** The entries of a directory that is closed again if they cannot be listed. */
  #list(directory: SourceDirectory, parent: ParentDirectory | undefined, empty = false): Listing {
    const parts = new TreeParts(parent)
    if (empty) return { directory, parts, gaps: [], entries: [] }
    const gaps: Gap[] = []
    try {
      if (parent === undefined) return { directory, parts, gaps, entries: directory.entries() }
      const entries = directory.entries((name, glance) => {
        if (glance !== undefined && this.#keep(name, glance, parent, parts)) return true
        gaps.push(parts.gap(name))
        return false
      })
      return { directory, parts, gaps, entries }
    } catch (error) {
      directory.close()
      throw error
    }
  }

  /** Keep the parent's node of a file that is exactly as it was; all that most files of a run cost. */
  #keep(name: string, glance: Glance, parent: ParentDirectory, parts: TreeParts): boolean {
    const { cursor } = parent
    if (!parent.seek(name) || !isAsBefore(cursor, glance, this.#options, this.#knows)) return false
    parts.keep(cursor)
    this.#counts.keptFile(cursor.size)
    this.#progress.files++
    this.#progress.bytes += cursor.size
    return true
  }

  #knowsTree(id: string): boolean {
    return this.#options.writer.knows('tree', id)
  }

  readonly #knows = (chunk: string): boolean => this.#options.writer.knows('data', chunk)

  /** Keep a promise from being forgotten or from crashing the process; whoever awaits it gets its error. */
  #background<T>(work: Promise<T>): Promise<T> {
    const tracked = work
      .catch((error) => this.#stop.abort(error))
      .finally(() => this.#underWay.delete(tracked))
    this.#underWay.add(tracked)
    return work
  }

  /**
   * Walk a directory. Resolves when its entries were all looked at; its node follows when its last file
   * is saved. Closes it. Throws only what must end the run.
   */
  async #directory(
    name: Buffer,
    { directory, parts, gaps, entries }: Listing,
    path: Buffer,
    before: TreeNode | undefined,
  ): Promise<Walked> {
    let described = 0
    try {
      for (const entry of entries) {
        this.#signal.throwIfAborted()
        this.#seen += entry.kind === 'passed' ? entry.count : 1
        if (this.#seen >= TURN) {
          this.#seen = 0
          await nextTurn()
        }
        if (entry.kind === 'passed') {
          this.#report()
          continue
        }
        const gap = gaps[described++] ?? parts.gap(entry.name.toString('latin1'))
        await this.#entry(entry, new Place(directory, path, entry.name, gap))
      }
      await this.#ends.take()
    } catch (error) {
      // Files of it may still be reading; the descriptor must outlive them.
      this.#background(parts.settled().then(() => directory.close()))
      throw error
    }
    const node = this.#finish(name, directory, path, parts, before).finally(() => {
      this.#ends.release()
      directory.close()
    })
    return { node: this.#background(node) }
  }

  async #finish(
    name: Buffer,
    directory: SourceDirectory,
    path: Buffer,
    parts: TreeParts,
    before: TreeNode | undefined,
  ): Promise<TreeNode> {
    const { text, unchanged } = await parts.finish()
    this.#signal.throwIfAborted()
    const known = unchanged && before?.subtree !== undefined && this.#knowsTree(before.subtree)
    const subtree = known ? before.subtree : await this.#saveTree(text)
    const common = this.#common(name, directory, () => path)
    const node: TreeNode = { ...common, type: 'dir', subtree }
    this.#counts.directory(before, node)
    this.#progress.directories++
    this.#report()
    return node
  }

  /** Deal with one entry; its node, or the promise of it, goes into `at.gap`. */
  async #entry(entry: SourceEntry, at: Place): Promise<void> {
    const { remarks } = this
    switch (entry.kind) {
      case 'file':
        return this.#file(entry, at)
      case 'dir':
        return this.#subdirectory(entry, at)
      case 'vanished':
        return remarks.add('vanished', at.path)
      case 'unreadable':
        return remarks.add('unreadable', at.path, entry.code)
      case 'socket':
        return remarks.add('socket', at.path)
      default:
        at.gap.node = this.#otherNode(entry, at)
    }
  }

  #otherNode(entry: OtherEntry, at: Place): TreeNode {
    const common = this.#common(entry.name, entry, () => at.path)
    // restic keeps no number of links for fifos.
    if (entry.kind === 'fifo') return { ...common, type: 'fifo' }
    const linked = { ...common, ...linkFields(entry.stat) }
    if (entry.kind === 'symlink') return { ...linked, type: 'symlink', linkTarget: entry.target }
    return { ...linked, type: entry.kind, device: entry.stat.rdev }
  }

  async #subdirectory(entry: DirectoryEntry, at: Place): Promise<void> {
    if (entry.mount) {
      this.remarks.add(entry.mount === 'entered' ? 'other-file-system' : 'left-out-mount', at.path)
    }
    const before = at.gap.before()
    const parent = await this.#parentOf(before)
    let listing: Listing
    try {
      listing = this.#list(entry.open(), parent, entry.mount === 'left-out')
    } catch (error) {
      const code = systemErrorCode(error)
      if (code === undefined) throw error
      return this.remarks.add(code === 'ENOENT' ? 'vanished' : 'unreadable', at.path, code)
    }
    const walked = await this.#directory(entry.name, listing, at.path, before)
    at.gap.node = walked.node
  }

  async #file(entry: FileEntry, at: Place): Promise<void> {
    const before = at.gap.before()
    const kept = unchangedContent(entry.stat, before, this.#knows)
    const known = kept ?? this.#links.contentOf(entry.stat)
    if (known) {
      const saved = { content: known, size: entry.stat.size }
      at.gap.node = this.#fileNode(entry, entry.stat, saved, at)
      this.#progress.bytes += Number(saved.size)
      this.#countFile(before, saved.size, kept !== undefined)
      return
    }
    await this.#files.take()
    const read = this.#read(entry, before, at).finally(() => this.#files.release())
    at.gap.node = this.#background(read)
  }

  async #read(
    entry: FileEntry,
    before: TreeNode | undefined,
    at: Place,
  ): Promise<TreeNode | undefined> {
    const { clock, isVolatile } = this.#options
    let counted = 0
    const outcome = await readSteadily<SavedFile>(entry, {
      look: () => at.directory.look(entry.name),
      save: (chunks) => {
        this.#progress.bytes -= counted // of a read that was not the last
        counted = 0
        if (isArray(chunks)) return this.#saveFile(chunks)
        const watched = this.#watched(chunks, (length) => {
          counted += length
        })
        return this.#saveFile(watched)
      },
      reading: this.#reading,
      clock,
      signal: this.#signal,
    })
    if (outcome.kind === 'gone') this.remarks.add('vanished', at.path)
    else if (outcome.kind === 'unreadable') this.remarks.add('unreadable', at.path, outcome.code)
    else if (outcome.kind === 'replaced') return this.#replaced(outcome.entry, at)
    if (outcome.kind !== 'saved') return undefined
    const { stat, saved, change } = outcome
    if (change === 'grew') this.remarks.add('grew', at.path)
    else if (change) this.remarks.add(isVolatile(at.path) ? 'volatile' : 'changed', at.path)
    else this.#links.remember(stat, saved.content)
    this.#progress.bytes += Number(saved.size) - counted
    this.#countFile(before, saved.size, false)
    return this.#fileNode(outcome.entry, stat, saved, at)
  }

  /** What was a file when it was listed became something else before it could be read. */
  #replaced(entry: SourceEntry, at: Place): TreeNode | undefined {
    if (entry.kind === 'socket') this.remarks.add('socket', at.path)
    else if (entry.kind === 'dir') this.remarks.add('unreadable', at.path, 'EISDIR')
    else if (isOther(entry)) return this.#otherNode(entry, at)
    return undefined
  }

  #fileNode(entry: FileEntry, stat: BigIntStats, saved: Content, at: Place): TreeNode {
    const { size, content } = saved
    const described = { stat, attributes: entry.attributes }
    const common = this.#common(entry.name, described, () => at.path)
    return { ...common, ...linkFields(stat), type: 'file', size, content }
  }

  #common(name: Buffer, described: Described, path: () => Buffer): Omit<TreeNode, 'type'> {
    const { stat, attributes } = described
    if ('code' in attributes) this.remarks.add('attributes-unreadable', path(), attributes.code)
    return commonFields(name, stat, attributes, this.#options)
  }

  async *#watched(
    chunks: AsyncIterable<Uint8Array>,
    passed: (length: number) => void,
  ): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      yield chunk
      passed(chunk.length)
      this.#progress.bytes += chunk.length
      this.#report()
    }
  }

  /** What a read stored is stored, also when the file has to be read once more. */
  async #saveFile(chunks: Parameters<ArchiveWriter['saveFile']>[0]): Promise<SavedFile> {
    const saved = await this.#options.writer.saveFile(chunks)
    this.#counts.added('data', saved.added)
    return saved
  }

  async #saveTree(text: Buffer): Promise<string> {
    const { id, added } = await this.#options.writer.saveBlob('tree', text)
    this.#counts.added('tree', added)
    return id
  }

  #countFile(before: TreeNode | undefined, size: bigint, kept: boolean): void {
    this.#counts.file(before, size, kept)
    this.#progress.files++
    this.#report()
  }

  #report(): void {
    this.#options.onProgress(this.#progress)
  }
}

function isOther(entry: SourceEntry): entry is OtherEntry {
  return ['symlink', 'fifo', 'dev', 'chardev'].includes(entry.kind)
}
