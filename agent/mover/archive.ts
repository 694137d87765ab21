// From a source to a root tree: walk, save files as they come, save each directory after all below it.

import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Glance } from '../native/glance.ts'
import { systemErrorCode } from '../native/syscall-error.ts'
import { encodeTree, type TreeNode } from '../repository/tree.ts'
import { measure } from '../sources/measure.ts'
import type { Passed, Source, SourceDirectory, SourceEntry } from '../sources/source.ts'
import type { Archived, ArchiveOptions } from './archive-contract.ts'
import { ArchiveFiles, type SeenEntry } from './archive-files.ts'
import { ArchiveNodes } from './archive-nodes.ts'
import { Place } from './archive-place.ts'
import { ArchiveTally } from './archive-tally.ts'
import { ParentDirectory, soundNodes } from './parent-directory.ts'
import { Slots } from './slots.ts'
import { findNode, saveAbove } from './snapshot-path.ts'
import { type Gap, TreeParts } from './tree-parts.ts'
import { isAsBefore } from './unchanged.ts'

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
  /** Of the entries to come, in their order. */
  readonly gaps: readonly Gap[]
  /** Files that passed and are to be read. */
  readonly seen: SeenEntry[]
  readonly entries: Iterable<SourceEntry | Passed>
}

type DirectoryEntry = Extract<SourceEntry, { kind: 'dir' }>

class Archive {
  readonly #options: ArchiveOptions
  readonly #tally: ArchiveTally
  readonly #nodes: ArchiveNodes
  readonly #files: ArchiveFiles
  readonly #ends = new Slots(OPEN_ENDS)
  /** What goes on beside the walk; all of it has ended before `run` does. */
  readonly #underWay = new Set<Promise<unknown>>()
  /** Stops everything when one part fails. */
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  #seen = 0

  constructor(options: ArchiveOptions) {
    this.#options = options
    this.#signal = AbortSignal.any([options.signal, this.#stop.signal])
    this.#tally = new ArchiveTally(options)
    this.#nodes = new ArchiveNodes(options, this.#tally.remarks)
    this.#files = new ArchiveFiles({
      options,
      tally: this.#tally,
      nodes: this.#nodes,
      signal: this.#signal,
      knows: this.#knows,
      background: (work) => this.#background(work),
    })
  }

  async run(): Promise<Archived> {
    const { source, expected } = this.#options
    this.#signal.throwIfAborted()
    try {
      if (!expected) this.#background(this.#measure())
      return this.#tally.result(await this.#root(source))
    } catch (error) {
      this.#stop.abort(error)
      throw error
    } finally {
      this.#stop.abort()
      this.#files.giveUp()
      while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay)
    }
  }

  async #measure(): Promise<void> {
    const { progress } = this.#tally
    progress.total = await measure(this.#options.source, this.#signal).catch(() => undefined)
    this.#tally.report()
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
    await this.#files.finish()
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
    const gaps: Gap[] = []
    const seen: SeenEntry[] = []
    if (empty) return { directory, parts, gaps, seen, entries: [] }
    try {
      const entries = directory.entries((name, glance) => {
        if (glance !== undefined && this.#keep(name, glance, parent, parts)) return true
        const gap = parts.gap(name)
        if (glance !== undefined && this.#isNews(glance, parent, gap)) {
          seen.push({ name, seen: glance.sighting(), gap })
          return true
        }
        gaps.push(gap)
        return false
      })
      return { directory, parts, gaps, seen, entries }
    } catch (error) {
      directory.close()
      throw error
    }
  }

  /** Keep the parent's node of a file that is exactly as it was; all that most files of a run cost. */
  #keep(
    name: string,
    glance: Glance,
    parent: ParentDirectory | undefined,
    parts: TreeParts,
  ): boolean {
    if (parent === undefined) return false
    const { cursor } = parent
    if (!parent.seek(name) || !isAsBefore(cursor, glance, this.#options, this.#knows)) return false
    parts.keep(cursor)
    this.#tally.keptFile(cursor.size)
    return true
  }

  /** Whether a small plain file must be read in any case: it is new, or it was written to since. */
  #isNews(glance: Glance, parent: ParentDirectory | undefined, { was }: Gap): boolean {
    if (!this.#files.mayTakeSeen(glance)) return false
    if (parent === undefined) return true
    const { cursor } = parent
    if (was === undefined) return !cursor.lost
    return (
      cursor.plain &&
      (cursor.changedSeconds !== glance.changedSeconds ||
        cursor.changedNanoseconds !== glance.changedNanoseconds)
    )
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
    { directory, parts, gaps, seen, entries }: Listing,
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
          for (const one of seen.splice(0)) await this.#files.takeSeen(directory, path, one)
          this.#tally.report()
          continue
        }
        await this.#entry(entry, new Place(directory, path, entry.name, gaps[described++]!))
      }
      // Ends come free as files are read, which those that wait open would not be.
      if (!this.#ends.free) await this.#files.finish()
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
    const node = this.#nodes.directory(name, directory, path, subtree)
    this.#tally.directory(before, node)
    return node
  }

  /** Deal with one entry; its node, or the promise of it, goes into `at.gap`. */
  async #entry(entry: SourceEntry, at: Place): Promise<void> {
    const { remarks } = this.#tally
    switch (entry.kind) {
      case 'file':
        return this.#files.take(entry, at)
      case 'dir':
        return this.#subdirectory(entry, at)
      case 'vanished':
        return remarks.add('vanished', at.path)
      case 'unreadable':
        return remarks.add('unreadable', at.path, entry.code)
      case 'socket':
        return remarks.add('socket', at.path)
      default:
        at.gap.node = this.#nodes.other(entry, at)
    }
  }

  async #subdirectory(entry: DirectoryEntry, at: Place): Promise<void> {
    if (entry.mount) {
      this.#tally.remarks.add(
        entry.mount === 'entered' ? 'other-file-system' : 'left-out-mount',
        at.path,
      )
    }
    const before = at.gap.before()
    const parent = await this.#parentOf(before)
    let listing: Listing
    try {
      listing = this.#list(entry.open(), parent, entry.mount === 'left-out')
    } catch (error) {
      const code = systemErrorCode(error)
      if (code === undefined) throw error
      return this.#tally.remarks.add(code === 'ENOENT' ? 'vanished' : 'unreadable', at.path, code)
    }
    const walked = await this.#directory(entry.name, listing, at.path, before)
    at.gap.node = walked.node
  }

  async #saveTree(text: Buffer): Promise<string> {
    const { id, added } = await this.#options.writer.saveBlob('tree', text)
    this.#tally.added('tree', added)
    return id
  }
}
