// User namespaces: what a container calls user 0 is another number on the host. Snapshots hold the
// container's numbers, so that they can be restored on a host with another range, or with none.

import type { Xattr } from '../native/xattrs.ts'

/** Ids in a range that Docker's `userns-remap` hands out; beyond it a container sees nobody. */
const RANGE = 65_536
/** What a container sees where an id is outside its range. */
const NOBODY = 65_534

/** The id inside the container of `id` on the host. `shift` is the first id of the range, 0 for no namespace. */
export function idInside(id: number, shift: number): number {
  if (shift === 0) return id
  return id >= shift && id < shift + RANGE ? id - shift : NOBODY
}

/** The id on the host of `id` inside the container; undefined if the range does not hold it. */
export function idOutside(id: number, shift: number): number | undefined {
  if (shift === 0) return id
  return id < RANGE ? id + shift : undefined
}

/** An attribute as seen inside: ids in ACLs shifted, capabilities of the namespace's root made plain ones. */
export function xattrInside(xattr: Xattr, shift: number): Xattr {
  return shift === 0 ? xattr : mapXattr(xattr, (id) => idInside(id, shift), shift, 'in')
}

/** An attribute as the host must hold it. Ids that the range does not hold become the host's nobody. */
export function xattrOutside(xattr: Xattr, shift: number): Xattr {
  if (shift === 0) return xattr
  return mapXattr(xattr, (id) => idOutside(id, shift) ?? NOBODY, shift, 'out')
}

function mapXattr(
  xattr: Xattr,
  map: (id: number) => number,
  shift: number,
  direction: 'in' | 'out',
): Xattr {
  const name = xattr.name.toString('latin1')
  if (name === 'system.posix_acl_access' || name === 'system.posix_acl_default') {
    return { name: xattr.name, value: mapAcl(xattr.value, map) }
  }
  if (name === 'security.capability') {
    const value =
      direction === 'in' ? plainCapability(xattr.value, shift) : rooted(xattr.value, shift)
    return { name: xattr.name, value }
  }
  return xattr
}

/** Tags of ACL entries that name a user or a group (<linux/posix_acl.h>); all others hold no id. */
const namedTags = new Set([0x02, 0x08])

/** Version (4 bytes), then entries of tag (2), permissions (2) and id (4), all little-endian. */
function mapAcl(value: Buffer, map: (id: number) => number): Buffer {
  const mapped = Buffer.from(value)
  for (let at = 4; at + 8 <= mapped.length; at += 8) {
    if (namedTags.has(mapped.readUInt16LE(at))) {
      mapped.writeUInt32LE(map(mapped.readUInt32LE(at + 4)), at + 4)
    }
  }
  return mapped
}

/** <linux/capability.h>: revision 2 is 20 bytes; revision 3 adds the user that is root of the namespace. */
const REVISION_2 = 0x0200_0000
const REVISION_3 = 0x0300_0000
const REVISION_MASK = 0xff00_0000

function plainCapability(value: Buffer, shift: number): Buffer {
  const ours = value.length === 24 && value.readUInt32LE(20) === shift
  if (!ours || (value.readUInt32LE(0) & REVISION_MASK) !== REVISION_3) return value
  const plain = Buffer.from(value.subarray(0, 20))
  plain.writeUInt32LE(((plain.readUInt32LE(0) & ~REVISION_MASK) | REVISION_2) >>> 0, 0)
  return plain
}

function rooted(value: Buffer, shift: number): Buffer {
  if (value.length !== 20 || (value.readUInt32LE(0) & REVISION_MASK) !== REVISION_2) return value
  const owned = Buffer.concat([value, Buffer.alloc(4)])
  owned.writeUInt32LE(((owned.readUInt32LE(0) & ~REVISION_MASK) | REVISION_3) >>> 0, 0)
  owned.writeUInt32LE(shift, 20)
  return owned
}
