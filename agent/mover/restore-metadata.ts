// Owner, attributes, times and mode of a restored entry, in the order in which none undoes another.

import { setTimes } from '../native/file-times.ts'
import { systemErrorCode } from '../native/syscall-error.ts'
import { listXattrs, removeXattr, setXattr } from '../native/xattrs.ts'
import { permissionBits } from '../repository/mode.ts'
import type { TreeNode } from '../repository/tree.ts'
import { idOutside, xattrOutside } from './id-shift.ts'
import type { RestoreRemark } from './restore-contract.ts'

/** An entry of the target as metadata is set on it. */
export interface Settable {
  /** Leads to the entry itself; used without following a symlink. */
  readonly path: Buffer
  chown(uid: number, gid: number): void
  /** Absent for symlinks, which have no mode of their own on Linux. */
  chmod?(mode: number): void
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
  applyXattrs(entry.path, node, idShift, (name) => remark('attribute-refused', name))
  unlessRefused(
    () => setTimes(entry.path, node.atime, node.mtime),
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
  path: Buffer,
  node: TreeNode,
  idShift: number,
  refused: (name: string) => void,
): void {
  const wanted = new Set<string>()
  for (const { name, value } of node.extendedAttributes ?? []) {
    wanted.add(name.toString('latin1'))
    const xattr = xattrOutside({ name, value: value ?? Buffer.alloc(0) }, idShift)
    unlessRefused(
      () => setXattr(path, xattr.name, xattr.value),
      () => refused(name.toString()),
    )
  }
  for (const name of listXattrs(path)) {
    const key = name.toString('latin1')
    if (wanted.has(key) || key === hostLabel) continue
    unlessRefused(
      () => removeXattr(path, name),
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
