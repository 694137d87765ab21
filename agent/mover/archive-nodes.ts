// Entries as nodes of the snapshot's trees.

import type { BigIntStats } from 'node:fs'
import type { TreeNode } from '../repository/tree.ts'
import type { SourceDirectory, SourceEntry } from '../sources/source.ts'
import type { ArchiveRemark } from './archive-contract.ts'
import type { Place } from './archive-place.ts'
import type { NamedCounts } from './named-counts.ts'
import type { FileEntry } from './steady-read.ts'
import { commonFields, linkFields, type Perspective } from './tree-node.ts'

type Content = Required<Pick<TreeNode, 'content' | 'size'>>
export type Described = Pick<SourceDirectory, 'stat' | 'attributes'>
/** What needs neither opening nor listing. */
export type OtherEntry = Exclude<
  Extract<SourceEntry, Described>,
  { kind: 'file' } | { kind: 'dir' } | { kind: 'socket' }
>

export function isOther(entry: SourceEntry): entry is OtherEntry {
  return ['symlink', 'fifo', 'dev', 'chardev'].includes(entry.kind)
}

/** Makes nodes; what cannot be told of an entry becomes a remark. */
export class ArchiveNodes {
  readonly #perspective: Perspective
  readonly #remarks: NamedCounts<ArchiveRemark>

  constructor(perspective: Perspective, remarks: NamedCounts<ArchiveRemark>) {
    this.#perspective = perspective
    this.#remarks = remarks
  }

  other(entry: OtherEntry, at: Place): TreeNode {
    const common = this.#common(entry.name, entry, () => at.path)
    // restic keeps no number of links for fifos.
    if (entry.kind === 'fifo') return { ...common, type: 'fifo' }
    const linked = { ...common, ...linkFields(entry.stat) }
    if (entry.kind === 'symlink') return { ...linked, type: 'symlink', linkTarget: entry.target }
    return { ...linked, type: entry.kind, device: entry.stat.rdev }
  }

  file(entry: FileEntry, stat: BigIntStats, saved: Content, at: Place): TreeNode {
    const { size, content } = saved
    const described = { stat, attributes: entry.attributes }
    const common = this.#common(entry.name, described, () => at.path)
    return { ...common, ...linkFields(stat), type: 'file', size, content }
  }

  directory(name: Buffer, described: Described, path: Buffer, subtree: string): TreeNode {
    const common = this.#common(name, described, () => path)
    return { ...common, type: 'dir', subtree }
  }

  #common(name: Buffer, described: Described, path: () => Buffer): Omit<TreeNode, 'type'> {
    const { stat, attributes } = described
    if ('code' in attributes) this.#remarks.add('attributes-unreadable', path(), attributes.code)
    return commonFields(name, stat, attributes, this.#perspective)
  }
}
