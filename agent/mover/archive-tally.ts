// What a run counts and tells, while it goes on and when it is over.

import type { TreeNode } from '../repository/tree.ts'
import type { Added } from '../repository/writer.ts'
import {
  type Archived,
  type ArchiveOptions,
  type ArchiveProgress,
  type ArchiveRemark,
  archiveWarnings,
} from './archive-contract.ts'
import { ArchiveCounts } from './archive-counts.ts'
import { NamedCounts } from './named-counts.ts'

export class ArchiveTally {
  readonly remarks = new NamedCounts<ArchiveRemark>((what) => archiveWarnings.has(what))
  readonly progress: ArchiveProgress
  readonly #counts = new ArchiveCounts()
  readonly #onProgress: ArchiveOptions['onProgress']

  constructor({ expected, onProgress }: Pick<ArchiveOptions, 'expected' | 'onProgress'>) {
    this.progress = { files: 0, directories: 0, bytes: 0, total: expected }
    this.#onProgress = onProgress
  }

  /** A file is in the snapshot. `kept`: its content is the parent's. */
  file(before: TreeNode | undefined, size: bigint, kept: boolean): void {
    this.#counts.file(before, size, kept)
    this.progress.files++
    this.report()
  }

  /** A file is in the snapshot exactly as it was. Reports nothing: there may be a million of them. */
  keptFile(size: number): void {
    this.#counts.keptFile(size)
    this.progress.files++
    this.progress.bytes += size
  }

  directory(before: TreeNode | undefined, node: TreeNode): void {
    this.#counts.directory(before, node)
    this.progress.directories++
    this.report()
  }

  added(type: 'data' | 'tree', added: Added): void {
    this.#counts.added(type, added)
  }

  report(): void {
    this.#onProgress(this.progress)
  }

  result(tree: string): Archived {
    const { remarks } = this
    const warned = [...archiveWarnings].some((what) => remarks.count(what) > 0)
    return { tree, statistics: this.#counts, remarks, warned }
  }
}
