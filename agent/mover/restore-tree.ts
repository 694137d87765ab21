// From a snapshot's tree to files on disk.

import {
  chmodSync,
  closeSync,
  fstatSync,
  linkSync,
  openSync,
  readdirSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs'
import { HoldfastError } from '../../shared/errors.ts'
import { anchoredPath, descriptorPath } from '../native/anchored-path.ts'
import { OPEN_DIRECTORY, OPEN_HANDLE } from '../native/open-flags.ts'
import { makeSpecialFile } from '../native/special-file.ts'
import { syncFilesystem } from '../native/sync-filesystem.ts'
import { systemErrorCode } from '../native/syscall-error.ts'
import { plainLength } from '../repository/blob.ts'
import type { TreeNode } from '../repository/tree.ts'
import { NamedCounts } from './named-counts.ts'
import { ContentRestore } from './restore-content.ts'
import type {
  Restored,
  RestoreExtent,
  RestoreOptions,
  RestoreProgress,
  RestoreRemark,
} from './restore-contract.ts'
import { applyMetadata, NamedEntry, OpenEntry, type Settable } from './restore-metadata.ts'
import { loadIfWhole, planRestore } from './restore-plan.ts'
import { RestoredLinks } from './restored-links.ts'
import { type Selection, selectionOf, selectPaths } from './selection.ts'
import { findNode } from './snapshot-path.ts'
import { TargetDirectories, type TargetDirectory } from './target-directory.ts'
import { TargetFile } from './target-file.ts'
import { verifyFile } from './verify-restored.ts'

/**
 * Restore a tree. Nothing is written before all of it was walked and judged. When this resolves, everything is
 * durable; every byte matched its hash before it was written, and with `verify` again when it was read back from the
 * disk. What the repository no longer holds whole is counted as damaged, and all else restored. Cut short, it may
 * be repeated with `resume`.
 *
 * Throws `already-exists` for a target that is not empty, `not-found` for a source or path that is not in the
 * snapshot, `illegal-name` and `damaged` for trees that cannot be restored, what the reader throws, the system's
 * error (such as `ENOSPC`) where the target fails, and the signal's reason.
 */
export async function restoreTree(options: RestoreOptions): Promise<Restored> {
  const { tree, path, reader, only, signal } = options
  signal.throwIfAborted()
  const selection = selectPaths(only)
  const loadTree = (id: string) => reader.loadTree(id)
  const root = await findNode(path, tree, loadTree)
  if (!root) throw new HoldfastError('not-found', 'the snapshot does not hold this source')
  const total = await planRestore({ root, selection, loadTree, signal })
  const { fd: target, empty } = openTarget(options)
  const restore = new Restore(options, { target, fresh: empty }, total)
  try {
    // If we die in here, files are missing, or lack some content and all metadata.
    await restore.run(root, selection)
    await syncFilesystem(target)
    if (options.verify) await restore.verify(root, selection)
    return restore.result()
  } finally {
    restore.close()
  }
}

/** Opens the target, which must be an empty directory unless an earlier attempt is resumed. */
function openTarget({ target, resume }: RestoreOptions): { fd: number; empty: boolean } {
  const fd = openSync(target, OPEN_DIRECTORY)
  try {
    const names = readdirSync(descriptorPath(fd), { encoding: 'latin1' })
    // mkfs puts an empty lost+found into every new ext file system, such as a volume on a block device.
    const empty = names.length === 0
    if (resume || names.every((name) => name === 'lost+found')) return { fd, empty }
    throw new HoldfastError('already-exists', 'the target directory is not empty', {
      hint: 'restore into a new volume or an empty directory',
    })
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

class Restore {
  readonly #options: RestoreOptions
  readonly #directories: TargetDirectories
  readonly #remarks = new NamedCounts<RestoreRemark>((what) => what !== 'socket')
  readonly #progress: RestoreProgress
  readonly #links = new RestoredLinks()
  /** Paths of files that are not whole, one character per byte. */
  readonly #damaged = new Set<string>()
  readonly #content: ContentRestore
  /** Whether the target was empty. */
  readonly #fresh: boolean
  #fetched = 0

  constructor(
    options: RestoreOptions,
    { target, fresh }: { target: number; fresh: boolean },
    total: RestoreExtent,
  ) {
    this.#options = options
    this.#fresh = fresh
    this.#directories = new TargetDirectories(target)
    this.#progress = { files: 0, directories: 0, others: 0, bytes: 0, verified: 0, total }
    const { reader, index, signal } = options
    this.#content = new ContentRestore({
      reader,
      index,
      signal,
      onBytes: (bytes) => {
        this.#progress.bytes += bytes
        this.#report()
      },
      onFetched: (bytes) => {
        this.#fetched += bytes
      },
      onDone: (file) => this.#fileDone(file),
    })
  }

  run(root: TreeNode, selection: Selection): Promise<void> {
    const path = Buffer.alloc(0)
    const top = { parent: undefined, node: root, path, pending: 1, fresh: this.#fresh }
    return this.#content.run(() => this.#walk(top, selection))
  }

  result(): Restored {
    const { files, directories, others, bytes } = this.#progress
    const remarks = this.#remarks
    return {
      extent: { files, directories, others, bytes },
      bytesFetched: this.#fetched,
      remarks,
      damaged: remarks.count('content-damaged') + remarks.count('tree-damaged'),
      warned: remarks.total > remarks.count('socket'),
    }
  }

  close(): void {
    this.#directories.close()
  }

  /** Make everything in a directory that exists; content of files may follow later. */
  async #walk(directory: TargetDirectory, selection: Selection): Promise<void> {
    const { reader, signal, resume } = this.#options
    const nodes = await loadIfWhole(directory.node, (id) => reader.loadTree(id))
    if (nodes === undefined) this.#remarks.add('tree-damaged', directory.path)
    for (const node of nodes ?? []) {
      signal.throwIfAborted()
      const within = selectionOf(selection, node.name)
      if (!within) continue
      const path = join(directory.path, node.name)
      if (node.type === 'dir') {
        const below: TargetDirectory = { parent: directory, node, path, pending: 1, fresh: false }
        directory.pending++
        below.fresh = this.#directories.make(below, resume)
        await this.#walk(below, within)
      } else if (node.type === 'file') {
        const pending = this.#file(node, directory, path)
        if (pending !== undefined) await pending
      } else if (node.type === 'socket') this.#remarks.add('socket', path)
      else this.#other(node, directory, path)
    }
    this.#settle(directory)
  }

  /** Read all content back that was restored. */
  async verify(root: TreeNode, selection: Selection): Promise<void> {
    const { reader, index, signal } = this.#options
    const visit = async (directory: TargetDirectory, within: Selection): Promise<void> => {
      for (const node of (await loadIfWhole(directory.node, reader.loadTree)) ?? []) {
        signal.throwIfAborted()
        const selected = selectionOf(within, node.name)
        if (!selected) continue
        const path = join(directory.path, node.name)
        if (node.type === 'dir') {
          await visit({ parent: directory, node, path, pending: 0, fresh: false }, selected)
        } else if (node.type === 'file' && !this.#damaged.has(path.toString('latin1'))) {
          await verifyFile(this.#directories.open(directory), node, index, (bytes) => {
            this.#progress.verified += bytes
            this.#report()
          })
        }
      }
      this.#directories.forget(directory)
    }
    const path = Buffer.alloc(0)
    await visit({ parent: undefined, node: root, path, pending: 0, fresh: false }, selection)
  }

  /** One thing less to wait for; the last one sets the directory's own metadata, and tells its parent. */
  #settle(directory: TargetDirectory): void {
    if (--directory.pending > 0) return
    const fd = this.#directories.open(directory)
    this.#apply(new OpenEntry(fd), directory.node, directory.path)
    this.#directories.forget(directory)
    this.#progress.directories++
    this.#report()
    if (directory.parent) this.#settle(directory.parent)
  }

  /** Answers nothing where there is nothing to wait for. */
  #file(node: TreeNode, directory: TargetDirectory, path: Buffer): Promise<void> | undefined {
    if (this.#link(node, directory)) {
      this.#progress.files++
      this.#progress.bytes += Number(node.size ?? 0n)
      this.#report()
      return undefined
    }
    const content = node.content ?? []
    const size = this.#sizeOf(content)
    if (size === undefined) {
      this.#lost(path)
      return undefined
    }
    const file = new TargetFile(this.#directories, directory, node, size, content.length)
    if (BigInt(size) !== (node.size ?? 0n)) this.#remarks.add('size-mismatch', path)
    // Other names may be linked to it before its content arrives; the rest are made when it does.
    const first = (node.links ?? 1n) > 1n
    const resume = this.#mayHold(directory)
    if (first || resume) this.#content.use(file)
    if (resume) file.adopt()
    if (first) file.make()
    this.#links.remember(node, path)
    directory.pending++
    return this.#content.add(file, content)
  }

  /** Whether an earlier attempt may have left something in a directory. */
  #mayHold(directory: TargetDirectory): boolean {
    return this.#options.resume && !directory.fresh
  }

  /** Bytes of a file's content; undefined if no index lists all of it. */
  #sizeOf(content: readonly string[]): number | undefined {
    let size = 0
    for (const id of content) {
      const place = this.#options.index.find('data', id)
      if (place === undefined) return undefined
      size += plainLength(place)
    }
    return size
  }

  /** All that can be had of a file is in place. */
  #fileDone(file: TargetFile): void {
    const path = join(file.directory.path, file.node.name)
    const entry = file.complete()
    // Without its metadata it stays closed to all but root: nobody takes it for the whole file.
    if (file.damaged) this.#lost(path)
    else {
      this.#apply(entry, file.node, path)
      this.#progress.files++
      this.#report()
    }
    this.#settle(file.directory)
  }

  #lost(path: Buffer): void {
    this.#remarks.add('content-damaged', path)
    this.#damaged.add(path.toString('latin1'))
  }

  /** Symlinks, fifos and devices. */
  #other(node: TreeNode, directory: TargetDirectory, path: Buffer): void {
    this.#progress.others++
    if (this.#link(node, directory)) return
    const at = this.#directories.pathOf(directory, node.name)
    if (this.#mayHold(directory)) removeIfThere(at)
    if (node.type === 'symlink') {
      symlinkSync(node.linkTarget ?? Buffer.alloc(0), at)
      this.#apply(new NamedEntry(at), node, path)
    } else {
      try {
        makeSpecialFile(at, node.type as 'fifo' | 'dev' | 'chardev', node.device ?? 0n)
      } catch (error) {
        const code = systemErrorCode(error)
        if (node.type === 'fifo' || code !== 'EPERM') throw error
        this.#remarks.add('device-refused', path, code)
        return
      }
      this.#applyByHandle(at, node, path)
    }
    this.#links.remember(node, path)
    this.#report()
  }

  /** chmod follows symlinks and opening a device may start it, so the mode is set through a handle. */
  #applyByHandle(at: Buffer, node: TreeNode, path: Buffer): void {
    const handle = openSync(at, OPEN_HANDLE)
    try {
      if (fstatSync(handle).isSymbolicLink()) {
        throw new HoldfastError('conflict', 'an entry was replaced while it was restored')
      }
      const chmod = (mode: number) => chmodSync(descriptorPath(handle), mode)
      this.#apply(new NamedEntry(at, chmod), node, path)
    } finally {
      closeSync(handle)
    }
  }

  /** Make a node another name of an entry restored before; false if it is the first of its kind. */
  #link(node: TreeNode, directory: TargetDirectory): boolean {
    const first = this.#links.firstOf(node)
    if (!first) return false
    const from = this.#openBeneath(first)
    try {
      const to = this.#directories.pathOf(directory, node.name)
      if (this.#mayHold(directory)) removeIfThere(to)
      linkSync(from.path, to)
    } finally {
      from.close()
    }
    return true
  }

  /** An entry of the target by its path, reached level by level without following a symlink. */
  #openBeneath(path: Buffer): { path: Buffer; close(): void } {
    const names = path.toString('latin1').split('/')
    const last = names.pop()!
    const opened: number[] = []
    const close = () => {
      for (const fd of opened) closeSync(fd)
    }
    try {
      let at = this.#directories.root
      for (const name of names) {
        at = openSync(anchoredPath(at, Buffer.from(name, 'latin1')), OPEN_DIRECTORY)
        opened.push(at)
      }
      return { path: anchoredPath(at, Buffer.from(last, 'latin1')), close }
    } catch (error) {
      close()
      throw error
    }
  }

  #apply(entry: Settable, node: TreeNode, path: Buffer): void {
    const { idShift } = this.#options
    const remark = (what: RestoreRemark, detail?: string) => this.#remarks.add(what, path, detail)
    applyMetadata(entry, node, { idShift, remark })
  }

  #report(): void {
    this.#options.onProgress(this.#progress)
  }
}

const slash = Buffer.from('/')

function join(path: Buffer, name: Buffer): Buffer {
  return path.length === 0 ? name : Buffer.concat([path, slash, name])
}

/** Remove what an earlier attempt left under a name that is about to be made again. Directories stay and are in the way. */
function removeIfThere(path: Buffer): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error
  }
}
