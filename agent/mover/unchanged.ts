// What the parent snapshot knows: which files need no reading.

import type { BigIntStats } from 'node:fs'
import type { Glance } from '../native/glance.ts'
import { goMode } from '../repository/mode.ts'
import type { TreeNode } from '../repository/tree.ts'
import type { TreeCursor } from '../repository/tree-cursor.ts'
import { accountsOf } from './accounts-text.ts'
import { idInside } from './id-shift.ts'
import type { Perspective } from './tree-node.ts'

/**
 * Whether a plain file is exactly as the node at which `cursor` stands says, so that its node would be written the
 * same, letter for letter. `glance` shows a regular file without attributes.
 */
export function isAsBefore(
  cursor: TreeCursor,
  glance: Glance,
  perspective: Perspective,
  knows: (chunk: string) => boolean,
): boolean {
  const { idShift } = perspective
  return (
    cursor.plain &&
    glance.links === 1 &&
    cursor.changedSeconds === glance.changedSeconds &&
    cursor.changedNanoseconds === glance.changedNanoseconds &&
    cursor.modifiedSeconds === glance.modifiedSeconds &&
    cursor.modifiedNanoseconds === glance.modifiedNanoseconds &&
    cursor.size === glance.size &&
    cursor.inodeIs(glance.inodeHigh, glance.inodeLow) &&
    cursor.mode === goMode(glance.mode) &&
    cursor.uid === idInside(glance.uid, idShift) &&
    cursor.gid === idInside(glance.gid, idShift) &&
    cursor.accountsAre(accountsOf(cursor.uid, cursor.gid, perspective.accounts).bytes) &&
    cursor.everyChunk(knows)
  )
}

/**
 * The content of a file if it needs no reading: the parent has the same size, mtime, ctime and inode,
 * and every chunk it names is still there. ctime cannot be set by a program, so a file whose mtime
 * was put back is read.
 */
export function unchangedContent(
  stat: BigIntStats,
  before: TreeNode | undefined,
  knows: (chunk: string) => boolean,
): readonly string[] | undefined {
  if (before?.type !== 'file' || !before.content) return undefined
  const same =
    (before.size ?? 0n) === stat.size &&
    before.mtime === stat.mtimeNs &&
    before.ctime === stat.ctimeNs &&
    before.inode === stat.ino
  return same && before.content.every(knows) ? before.content : undefined
}

/** Whether a directory is as it was, all below it included. */
export function sameDirectory(before: TreeNode, now: TreeNode): boolean {
  return (
    before.type === 'dir' &&
    before.subtree === now.subtree &&
    before.mode === now.mode &&
    before.uid === now.uid &&
    before.gid === now.gid &&
    before.mtime === now.mtime
  )
}
