// From a snapshot's tree to files on disk.

import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  lchownSync,
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
import { RepositoryError } from '../repository/errors.ts'
import type { TreeNode } from '../repository/tree.ts'
import { NamedCounts } from './named-counts.ts'
import { restoreContent } from './restore-content.ts'
import type {
  Restored,
  RestoreExtent,
  RestoreOptions,
  RestoreProgress,
  RestoreRemark,
} from './restore-contract.ts'
import { applyMetadata, type Settable } from './restore-metadata.ts'
import { loadSoundTree, planRestore } from './restore-plan.ts'
import { RestoredLinks } from './restored-links.ts'
import { type Selection, selectionOf, selectPaths } from './selection.ts'
import { findNode } from './snapshot-path.ts'
import { TargetDirectories, type TargetDirectory } from './target-directory.ts'
import { type Chunk, TargetFile } from './target-file.ts'

/** Bounds on what is gathered before content is fetched: some 50 MB of nodes and places. */
const BATCH_FILES = 20_000
const BATCH_CHUNKS = 100_000

/**
 * Restore a tree. Nothing is written before all of it was walked and judged. When this resolves, every byte was
 * read back and matched its hash, and everything is durable. Cut short, it may be repeated with `resume`.
 *
 * Throws `already-exists` for a target that is not empty, `not-found` for a source or path that is not in the
 * snapshot, `illegal-name` and `damaged` for trees that cannot be restored, what the reader throws, the system's
 * error (such as `ENOSPC`) where the target fails, and the signal's reason.
 */
export async function restoreTree(options: RestoreOptions): Promise<Restored> {
  const { tree, path, reader, index, only, signal } = options
  signal.throwIfAborted()
  const selection = selectPaths(only)
  const loadTree = (id: string) => reader.loadTree(id)
  const root = await findNode(path, tree, loadTree)
  if (!root) throw new HoldfastError('not-found', 'the snapshot does not hold this source')
  const total = await planRestore({ root, selection, loadTree, index, signal })
  const target = openTarget(options)
  const restore = new Restore(options, target, total)
  try {
    await restore.walk(
      { parent: undefined, node: root, path: Buffer.alloc(0), pending: 1 },
      selection,
    )
    await restore.flush()
    await syncFilesystem(target)
    return restore.result()
  } finally {
    restore.close()
  }
}

/** Opens the target, which must be an empty directory unless an earlier attempt is resumed. */
function openTarget({ target, resume }: RestoreOptions): number {
  const fd = openSync(target, OPEN_DIRECTORY)
  const names = readdirSync(descriptorPath(fd), { encoding: 'latin1' })
  // mkfs puts an empty lost+found into every new ext file system, such as a volume on a block device.
  const foreign = names.filter((name) => name !== 'lost+found')
  if (resume || foreign.length === 0) return fd
  closeSync(fd)
  throw new HoldfastError('already-exists', 'the target directory is not empty', {
    hint: 'restore into a new volume or an empty directory',
  })
}

class Restore {
  readonly #options: RestoreOptions
  readonly #directories: TargetDirectories
  readonly #remarks = new NamedCounts<RestoreRemark>((what) => what !== 'socket')
  readonly #progress: RestoreProgress
  readonly #links = new RestoredLinks()
  #batch: TargetFile[] = []
  #batchChunks = 0
  #fetched = 0

  constructor(options: RestoreOptions, target: number, total: RestoreExtent) {
    this.#options = options
    this.#directories = new TargetDirectories(target)
    this.#progress = { files: 0, directories: 0, others: 0, bytes: 0, total }
  }

  result(): Restored {
    const { files, directories, others, bytes } = this.#progress
    const remarks = this.#remarks
    return {
      extent: { files, directories, others, bytes },
      bytesFetched: this.#fetched,
      remarks,
      warned: remarks.total > remarks.count('socket'),
    }
  }

  close(): void {
    for (const file of this.#batch) file.close()
    this.#directories.close()
  }

  /** Make everything in a directory that exists; content of files may follow later. */
  async walk(directory: TargetDirectory, selection: Selection): Promise<void> {
    const { reader, signal, resume } = this.#options
    const nodes = await loadSoundTree(directory.node, (id) => reader.loadTree(id))
    for (const node of nodes) {
      signal.throwIfAborted()
      const within = selectionOf(selection, node.name)
      if (!within) continue
      const path = join(directory.path, node.name)
      if (node.type === 'dir') {
        const below: TargetDirectory = { parent: directory, node, path, pending: 1 }
        directory.pending++
        this.#directories.make(below, resume)
        await this.walk(below, within)
      } else if (node.type === 'file') await this.#file(node, directory, path)
      else if (node.type === 'socket') this.#remarks.add('socket', path)
      else this.#other(node, directory, path)
    }
    this.#settle(directory)
  }

  /** One thing less to wait for; the last one sets the directory's own metadata, and tells its parent. */
  #settle(directory: TargetDirectory): void {
    if (--directory.pending > 0) return
    const fd = this.#directories.open(directory)
    this.#apply(
      {
        path: anchoredPath(fd, SELF),
        chown: (uid, gid) => fchownSync(fd, uid, gid),
        chmod: (mode) => fchmodSync(fd, mode),
      },
      directory.node,
      directory.path,
    )
    this.#directories.forget(directory)
    this.#progress.directories++
    this.#report()
    if (directory.parent) this.#settle(directory.parent)
  }

  async #file(node: TreeNode, directory: TargetDirectory, path: Buffer): Promise<void> {
    if (this.#link(node, directory)) {
      this.#progress.files++
      this.#progress.bytes += Number(node.size ?? 0n)
      this.#report()
      return
    }
    const file = new TargetFile(this.#directories, directory, node, this.#chunks(node))
    if (BigInt(file.size) !== (node.size ?? 0n)) this.#remarks.add('size-mismatch', path)
    if (this.#options.resume) file.adopt()
    // Other names may be linked to it before its content arrives; the rest are made when it does.
    if ((node.links ?? 1n) > 1n) file.make()
    file.close()
    this.#links.remember(node, path)
    directory.pending++
    this.#batch.push(file)
    this.#batchChunks += file.chunks.length
    if (this.#batch.length >= BATCH_FILES || this.#batchChunks >= BATCH_CHUNKS) await this.flush()
  }

  #chunks(node: TreeNode): Chunk[] {
    let offset = 0
    return (node.content ?? []).map((id) => {
      const place = this.#options.index.find('data', id)
      if (!place) throw new RepositoryError('unknown-blob', `data blob ${id}`)
      const chunk = { id, offset, length: plainLength(place) }
      offset += chunk.length
      return chunk
    })
  }

  /** Fill the files gathered so far. If we die in here, files are missing, or lack some content and all metadata. */
  async flush(): Promise<void> {
    const { reader, index, signal } = this.#options
    const files = this.#batch
    this.#batch = []
    this.#batchChunks = 0
    await restoreContent(files, {
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
      onDone: (file) => {
        const path = join(file.directory.path, file.node.name)
        this.#apply(file.settable(), file.node, path)
        this.#progress.files++
        this.#settle(file.directory)
      },
    })
  }

  /** Symlinks, fifos and devices. */
  #other(node: TreeNode, directory: TargetDirectory, path: Buffer): void {
    this.#progress.others++
    if (this.#link(node, directory)) return
    const at = this.#directories.pathOf(directory, node.name)
    if (this.#options.resume) removeIfThere(at)
    if (node.type === 'symlink') {
      symlinkSync(node.linkTarget ?? Buffer.alloc(0), at)
      this.#apply({ path: at, chown: (uid, gid) => lchownSync(at, uid, gid) }, node, path)
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
      this.#apply(
        {
          path: at,
          chown: (uid, gid) => lchownSync(at, uid, gid),
          chmod: (mode) => chmodSync(descriptorPath(handle), mode),
        },
        node,
        path,
      )
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
      if (this.#options.resume) removeIfThere(to)
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

/** The directory itself, for calls that do not follow the last component of a path. */
const SELF = Buffer.from('.')
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
