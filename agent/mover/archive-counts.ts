import type { TreeNode } from '../repository/tree.ts'
import type { Added } from '../repository/writer.ts'
import type { ArchiveStatistics } from './archive-contract.ts'
import { sameDirectory } from './unchanged.ts'

/** Statistics as they grow. */
export class ArchiveCounts implements ArchiveStatistics {
  filesNew = 0
  filesChanged = 0
  filesUnmodified = 0
  directoriesNew = 0
  directoriesChanged = 0
  directoriesUnmodified = 0
  dataBlobs = 0
  treeBlobs = 0
  dataAdded = 0
  dataAddedPacked = 0
  totalFiles = 0
  totalBytes = 0

  /** A file is in the snapshot. `kept`: its content is the parent's. */
  file(before: TreeNode | undefined, size: bigint, kept: boolean): void {
    if (before?.type !== 'file') this.filesNew++
    else if (kept) this.filesUnmodified++
    else this.filesChanged++
    this.totalFiles++
    this.totalBytes += Number(size)
  }

  /** A file is in the snapshot exactly as it was. */
  keptFile(size: number): void {
    this.filesUnmodified++
    this.totalFiles++
    this.totalBytes += size
  }

  directory(before: TreeNode | undefined, now: TreeNode): void {
    if (before?.type !== 'dir') this.directoriesNew++
    else if (sameDirectory(before, now)) this.directoriesUnmodified++
    else this.directoriesChanged++
  }

  added(type: 'data' | 'tree', { blobs, bytes, packedBytes }: Added): void {
    if (type === 'data') this.dataBlobs += blobs
    else this.treeBlobs += blobs
    this.dataAdded += bytes
    this.dataAddedPacked += packedBytes
  }
}
