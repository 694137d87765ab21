// Owner, attributes, times and mode of a restored entry, in the order in which none undoes another.

import { fchmodSync, fchownSync, lchownSync } from 'node:fs'
import { setTimes } from '../native/file-times.ts'
import { listXattrsOf, removeXattrOf, setTimesOf, setXattrOf } from '../native/open-file.ts'
import { systemErrorCode } from '../native/syscall-error.ts'
import { listXattrs, removeXattr, setXattr } from '../native/xattrs.ts'
import { permissionBits } from '../repository/mode.ts'
import type { TreeNode } from '../repository/tree.ts'
import { idOutside, xattrOutside } from './id-shift.ts'
import type { RestoreRemark } from './restore-contract.ts'

/** An entry of the target as metadata is set on it. */
export interface Settable {
  chown(uid: number, gid: number): void
  setTimes(accessedNs: bigint, modifiedNs: bigint): void
  listXattrs(): Buffer[]
  setXattr(name: Buffer, value: Buffer): void
  removeXattr(name: Buffer): void
  /** Absent for symlinks, which have no mode of their own on Linux. */
  chmod?(mode: number): void
}

/** A file or directory that is open. */
export class OpenEntry implements Settable {
  readonly #fd: number

  constructor(fd: number) {
    this.#fd = fd
  }
  chown(uid: number, gid: number): void {
    fchownSync(this.#fd, uid, gid)
  }
  setTimes(accessedNs: bigint, modifiedNs: bigint): void {
    setTimesOf(this.#fd, accessedNs, modifiedNs)
  }
  listXattrs(): Buffer[] {
    return listXattrsOf(this.#fd)
  }
  setXattr(name: Buffer, value: Buffer): void {
    setXattrOf(this.#fd, name, value)
  }
  removeXattr(name: Buffer): void {
    removeXattrOf(this.#fd, name)
  }
  chmod(mode: number): void {
    fchmodSync(this.#fd, mode)
  }
}

/** What cannot be opened without consequences: symlinks, fifos, devices. A symlink is never followed. */
export class NamedEntry implements Settable {
  readonly #path: Buffer
  readonly chmod?: (mode: number) => void

  constructor(path: Buffer, chmod?: (mode: number) => void) {
    this.#path = path
    if (chmod !== undefined) this.chmod = chmod
  }
  chown(uid: number, gid: number): void {
    lchownSync(this.#path, uid, gid)
  }
  setTimes(accessedNs: bigint, modifiedNs: bigint): void {
    setTimes(this.#path, accessedNs, modifiedNs)
  }
  listXattrs(): Buffer[] {
    return listXattrs(this.#path)
  }
  setXattr(name: Buffer, value: Buffer): void {
    setXattr(this.#path, name, value)
  }
  removeXattr(name: Buffer): void {
    removeXattr(this.#path, name)
  }
}

export type Remark = (what: RestoreRemark, detail?: string) => void

/** A label that belongs to the host rather than to the data; the kernel sets it and rarely lets it go. */
const hostLabel = 'security.selinux'

/**
 * Owner first, because changing it clears setuid bits and capabilities; attributes before times and mode, because
 * an ACL carries the group's bits; times before mode only by custom. What the target refuses is
 * remarked, any other failure (such as a failing disk) thrown.
 */
export function applyMetadata(
  entry: Settable,
  node: TreeNode,
  { idShift, remark }: { idShift: number; remark: Remark },
): void {
  const uid = idOutside(node.uid, idShift)
  const gid = idOutside(node.gid, idShift)
  unlessRefused(
    () => {
      if (uid !== undefined && gid !== undefined) entry.chown(uid, gid)
      else remark('owner-refused', `${node.uid}:${node.gid}`)
    },
    () => remark('owner-refused', `${node.uid}:${node.gid}`),
  )
  applyXattrs(entry, node, idShift, (name) => remark('attribute-refused', name))
  unlessRefused(
    () => entry.setTimes(node.atime, node.mtime),
    () => remark('times-refused'),
  )
  const mode = permissionBits(node.mode)
  unlessRefused(
    () => entry.chmod?.(mode),
    () => remark('mode-refused', mode.toString(8)),
  )
}

/** Make the attributes of an entry those of `node`: set its own, remove what the target gave it (an inherited ACL, say). */
function applyXattrs(
  entry: Settable,
  node: TreeNode,
  idShift: number,
  refused: (name: string) => void,
): void {
  const found = entry.listXattrs()
  if (found.length === 0 && node.extendedAttributes === undefined) return
  const wanted = new Set<string>()
  for (const { name, value } of node.extendedAttributes ?? []) {
    wanted.add(name.toString('latin1'))
    const xattr = xattrOutside({ name, value: value ?? Buffer.alloc(0) }, idShift)
    unlessRefused(
      () => entry.setXattr(xattr.name, xattr.value),
      () => refused(name.toString()),
    )
  }
  for (const name of found) {
    const key = name.toString('latin1')
    if (wanted.has(key) || key === hostLabel) continue
    unlessRefused(
      () => entry.removeXattr(name),
      () => refused(name.toString()),
    )
  }
}

/** How a kernel or a file system says "not here" or "not you". `ENOSPC`: no room for attributes in the inode. */
const refusals: ReadonlySet<string> = new Set([
  'EPERM',
  'EACCES',
  'ENOTSUP',
  'EOPNOTSUPP',
  'EINVAL',
  'ENOSPC',
  'E2BIG',
  'ERANGE',
  'EOVERFLOW',
])

function unlessRefused(attempt: () => void, refused: () => void): void {
  try {
    attempt()
  } catch (error) {
    if (!refusals.has(systemErrorCode(error) ?? '')) throw error
    refused()
  }
}
