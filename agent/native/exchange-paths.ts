import { AT_FDCWD, bindIfPresent, checked, cPath, twoPathSyscall } from './libc.ts'

/** musl wraps renameat2 only since 1.2.5, so its absence is no surprise. */
const renameat2 = bindIfPresent('renameat2', 'int', ['int', 'void *', 'int', 'void *', 'uint32_t'])

/** `RENAME_EXCHANGE` of <linux/fs.h>. */
const EXCHANGE = 2

/**
 * Swap two existing paths of one file system in a single step: at no moment does either name
 * miss. `EINVAL` or `ENOSYS` where the file system cannot; `EBUSY` for a mount point; `EXDEV` across file systems.
 */
export function exchangePaths(one: Buffer | string, other: Buffer | string): void {
  const a = cPath(one)
  const b = cPath(other)
  if (renameat2) checked('renameat2', renameat2(AT_FDCWD, a, AT_FDCWD, b, EXCHANGE))
  else twoPathSyscall('renameat2', a, b, EXCHANGE)
}
