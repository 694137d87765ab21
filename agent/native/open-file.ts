// What is set on a file through its descriptor: no name is looked up, so nothing can be put in its place meanwhile.

import { timesBuffer } from './file-times.ts'
import { bind, checked, cPath } from './libc.ts'
import { systemErrorCode } from './syscall-error.ts'

const futimens = bind('futimens', 'int', ['int', 'void *'])
const flistxattr = bind('flistxattr', 'int64_t', ['int', 'void *', 'size_t'])
const fsetxattr = bind('fsetxattr', 'int', ['int', 'void *', 'void *', 'size_t', 'int'])
const fremovexattr = bind('fremovexattr', 'int', ['int', 'void *'])
const fallocate = bind('fallocate', 'int', ['int', 'int', 'int64_t', 'int64_t'])
const posixFadvise = bind('posix_fadvise', 'int', ['int', 'int64_t', 'int64_t', 'int'])

/** `FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE` of <linux/falloc.h>. */
const PUNCH_HOLE = 0x01 | 0x02
/** `POSIX_FADV_DONTNEED` of <fcntl.h>, the same on x86-64 and arm64. */
const NOT_NEEDED = 4
/** Linux lets no list of names be longer (XATTR_LIST_MAX). Bytes. */
const LONGEST_LIST = 65_536
const scratch = Buffer.allocUnsafeSlow(LONGEST_LIST)
/** Tried first: the kernel allocates as much as it is offered. Bytes. */
const USUAL_LIST = 512

/** As `setTimes`, on an open file. */
export function setTimesOf(fd: number, accessedNs: bigint, modifiedNs: bigint): void {
  checked('futimens', futimens(fd, timesBuffer(accessedNs, modifiedNs)))
}

/** As `listXattrs`, of an open file. */
export function listXattrsOf(fd: number): Buffer[] {
  let length = flistxattr(fd, scratch, USUAL_LIST)
  if (length === 0) return []
  try {
    if (length === -1) checked('flistxattr', length)
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === 'ENOTSUP') return []
    if (code !== 'ERANGE') throw error
    length = checked('flistxattr', flistxattr(fd, scratch, LONGEST_LIST))
  }
  const found: Buffer[] = []
  for (let start = 0; start < length; ) {
    const end = scratch.indexOf(0, start)
    found.push(Buffer.from(scratch.subarray(start, end)))
    start = end + 1
  }
  return found
}

/** As `setXattr`, on an open file. */
export function setXattrOf(fd: number, name: Buffer, value: Buffer): void {
  checked('fsetxattr', fsetxattr(fd, cPath(name), value, value.length, 0))
}

/** As `removeXattr`, on an open file. */
export function removeXattrOf(fd: number, name: Buffer): void {
  checked('fremovexattr', fremovexattr(fd, cPath(name)))
}

/** Make a stretch of an open file a hole. False where the file system makes none: then nothing has changed. */
export function punchHole(fd: number, offset: number, length: number): boolean {
  try {
    checked('fallocate', fallocate(fd, PUNCH_HOLE, offset, length))
    return true
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === 'EOPNOTSUPP' || code === 'ENOTSUP' || code === 'ENOSYS') return false
    throw error
  }
}

/** Drop what memory holds of an open file that is durable, so that the next read comes from the disk. A wish only. */
export function forgetPages(fd: number): void {
  posixFadvise(fd, 0, 0, NOT_NEEDED)
}
