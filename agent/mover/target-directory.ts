// Directories of a restore's target, reached only through their parents, never by a path from outside.

import { closeSync } from 'node:fs'
import { anchoredPath } from '../native/anchored-path.ts'
import { makeDirectoryAt, openAt } from '../native/open-at.ts'
import { OPEN_DIRECTORY } from '../native/open-flags.ts'
import { systemErrorCode } from '../native/syscall-error.ts'
import type { TreeNode } from '../repository/tree.ts'

/** A directory being restored. */
export interface TargetDirectory {
  readonly parent: TargetDirectory | undefined
  readonly node: TreeNode
  /** Relative to the root of the target, for reports. */
  readonly path: Buffer
  /** Entries, and the walk itself, that must be done before its own metadata may be set. */
  pending: number
  /** Whether it was empty when this restore came to it: then no earlier attempt left anything in it. */
  fresh: boolean
}

/** Descriptors kept open; a directory opened again costs one call per level that is not. */
const KEPT_OPEN = 128

/**
 * Opens directories level by level, each through its parent's descriptor and none through a symlink: if
 * somebody replaces a directory of the target by a symlink, opening it fails and nothing is written elsewhere.
 */
export class TargetDirectories {
  readonly #root: number
  readonly #open = new Map<TargetDirectory, number>()

  /** Owns `root`, the descriptor of the target itself. */
  constructor(root: number) {
    this.#root = root
  }

  /** The target itself. */
  get root(): number {
    return this.#root
  }

  /** A descriptor of `directory`, lent until the next call of this method. */
  open(directory: TargetDirectory): number {
    if (!directory.parent) return this.#root
    const kept = this.#open.get(directory)
    if (kept !== undefined) {
      this.#open.delete(directory) // to the end of the line
      this.#open.set(directory, kept)
      return kept
    }
    const fd = openAt(this.open(directory.parent), directory.node.name, OPEN_DIRECTORY)
    this.#open.set(directory, fd)
    if (this.#open.size > KEPT_OPEN) this.forget(this.#open.keys().next().value!)
    return fd
  }

  /** The path of `name` in `directory`, to be used at once. */
  pathOf(directory: TargetDirectory, name: Buffer): Buffer {
    return anchoredPath(this.open(directory), name)
  }

  /**
   * Make a directory that nobody else may enter yet. One that is there is used if `mayExist`. Answers whether it was
   * made, and so is empty.
   */
  make(directory: TargetDirectory, mayExist: boolean): boolean {
    try {
      makeDirectoryAt(this.open(directory.parent!), directory.node.name, 0o700)
      return true
    } catch (error) {
      if (!mayExist || systemErrorCode(error) !== 'EEXIST') throw error
      this.open(directory) // throws if it is no directory
      return false
    }
  }

  /** Nothing more will be done in `directory`. */
  forget(directory: TargetDirectory): void {
    const fd = this.#open.get(directory)
    if (fd === undefined) return
    this.#open.delete(directory)
    closeSync(fd)
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd)
    this.#open.clear()
    closeSync(this.#root)
  }
}
