// Extended attributes of an entry itself; a symlink is never followed.

import { bind, checked, cPath, lastErrorIs } from './libc.ts'
import { systemErrorCode } from './syscall-error.ts'

/** One attribute. ACLs and file capabilities are attributes too (`system.posix_acl_access`, `security.capability`). */
export interface Xattr {
  /** Bytes with a namespace prefix, usually ASCII: `user.note`. */
  readonly name: Buffer
  readonly value: Buffer
}

const llistxattr = bind('llistxattr', 'int64_t', ['void *', 'void *', 'size_t'])
const lgetxattr = bind('lgetxattr', 'int64_t', ['void *', 'void *', 'void *', 'size_t'])
const lsetxattr = bind('lsetxattr', 'int', ['void *', 'void *', 'void *', 'size_t', 'int'])
const lremovexattr = bind('lremovexattr', 'int', ['void *', 'void *'])

/** Linux lets neither a list of names nor a value be longer (XATTR_LIST_MAX, XATTR_SIZE_MAX: 64 KiB). */
const LONGEST = 65_536
const scratch = Buffer.allocUnsafeSlow(LONGEST)
/** Tried first: the kernel allocates as much as it is offered, which costs more than the call itself. */
const USUAL = 512

/** Make a call that fills a buffer, offering little at first and all that is legal if that is too short. */
function fill(syscall: string, call: (length: number) => number): number {
  const length = call(USUAL)
  if (length !== -1) return length
  try {
    return checked(syscall, length)
  } catch (error) {
    if (systemErrorCode(error) !== 'ERANGE') throw error
    return checked(syscall, call(LONGEST))
  }
}

/** Names of all attributes in the kernel's order. Empty where the file system has no attributes. */
export function listXattrs(path: Buffer | string): Buffer[] {
  return list(cPath(path))
}

function list(path: Buffer): Buffer[] {
  let length: number
  try {
    length = fill('llistxattr', (size) => llistxattr(path, scratch, size))
  } catch (error) {
    if (systemErrorCode(error) === 'ENOTSUP') return []
    throw error
  }
  const found: Buffer[] = []
  for (let start = 0; start < length; ) {
    const end = scratch.indexOf(0, start)
    found.push(Buffer.from(scratch.subarray(start, end)))
    start = end + 1
  }
  return found
}

/** The value of one attribute; undefined if there is none of that name. */
export function getXattr(path: Buffer | string, name: Buffer | string): Buffer | undefined {
  return get(cPath(path), name)
}

function get(path: Buffer, name: Buffer | string): Buffer | undefined {
  const ended = cPath(name)
  try {
    const length = fill('lgetxattr', (size) => lgetxattr(path, ended, scratch, size))
    return Buffer.from(scratch.subarray(0, length))
  } catch (error) {
    if (systemErrorCode(error) === 'ENODATA') return undefined
    throw error
  }
}

/** All attributes with their values in the kernel's order. One that vanishes meanwhile is left out. */
export function readXattrs(path: Buffer | string): Xattr[] {
  const ended = cPath(path)
  const found: Xattr[] = []
  for (const name of list(ended)) {
    const held = get(ended, name)
    if (held) found.push({ name, value: held })
  }
  return found
}

/** Whether the entry at `path`, which ends with a NUL, has no attributes, as most have none. False also if nobody can tell. */
export function lacksXattrs(path: Buffer): boolean {
  const length = llistxattr(path, null, 0)
  return length === 0 || (length === -1 && lastErrorIs(ENOTSUP))
}

/** `ENOTSUP` of <errno.h>, the same on every Linux: the file system knows no attributes. */
const ENOTSUP = 95

/** Set an attribute, whether or not it exists. An empty value is a value. */
export function setXattr(path: Buffer | string, name: Buffer | string, held: Buffer): void {
  checked('lsetxattr', lsetxattr(cPath(path), cPath(name), held, held.length, 0))
}

/** Remove an attribute; one that is not there is an error (`ENODATA`). */
export function removeXattr(path: Buffer | string, name: Buffer | string): void {
  checked('lremovexattr', lremovexattr(cPath(path), cPath(name)))
}
