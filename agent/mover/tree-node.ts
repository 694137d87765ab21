// How an entry of the host becomes a node of a tree.

import type { BigIntStats } from 'node:fs'
import type { Sighting } from '../native/glance.ts'
import { goMode } from '../repository/mode.ts'
import type { PlainFile } from '../repository/plain-file.ts'
import type { TreeNode } from '../repository/tree.ts'
import type { Attributes } from '../sources/source.ts'
import type { Accounts } from './accounts.ts'
import { accountsOf } from './accounts-text.ts'
import { idInside, xattrInside } from './id-shift.ts'

/** Whose numbers and names a host's metadata is told in. */
export interface Perspective {
  readonly accounts: Accounts
  /** Added to a container's ids to get the host's; 0 without a user namespace. */
  readonly idShift: number
}

/** What all types of node have in common. Access times are not kept: restic stores the mtime instead. */
export function commonFields(
  name: Buffer,
  stat: BigIntStats,
  attributes: Attributes,
  { accounts, idShift }: Perspective,
): Omit<TreeNode, 'type'> {
  const uid = idInside(Number(stat.uid), idShift)
  const gid = idInside(Number(stat.gid), idShift)
  const user = accounts.user(uid)
  const group = accounts.group(gid)
  const xattrs = 'xattrs' in attributes ? attributes.xattrs : []
  return {
    name,
    mode: goMode(Number(stat.mode)),
    mtime: stat.mtimeNs,
    atime: stat.mtimeNs,
    ctime: stat.ctimeNs,
    uid,
    gid,
    ...(user !== undefined && { user }),
    ...(group !== undefined && { group }),
    inode: stat.ino,
    ...(xattrs.length > 0 && {
      extendedAttributes: xattrs.map((xattr) => xattrInside(xattr, idShift)),
    }),
  }
}

/** A regular file with one name and no attributes, as the snapshot tells of it. */
export function asPlainFile(
  name: string,
  seen: Sighting,
  { accounts, idShift }: Perspective,
): PlainFile {
  const uid = idInside(seen.uid, idShift)
  const gid = idInside(seen.gid, idShift)
  return {
    name,
    mode: goMode(seen.mode),
    uid,
    gid,
    accounts: accountsOf(uid, gid, accounts).text,
    size: seen.size,
    inodeHigh: seen.inodeHigh,
    inodeLow: seen.inodeLow,
    modifiedSeconds: seen.modifiedSeconds,
    modifiedNanoseconds: seen.modifiedNanoseconds,
    changedSeconds: seen.changedSeconds,
    changedNanoseconds: seen.changedNanoseconds,
  }
}

/**
 * How many names an entry has. Device numbers are kept only where they tell links apart: they change
 * with every restart on some file systems, and each change would make every tree new.
 */
export function linkFields(stat: BigIntStats): Pick<TreeNode, 'links' | 'deviceId'> {
  return stat.nlink > 1n ? { links: stat.nlink, deviceId: stat.dev } : { links: stat.nlink }
}
