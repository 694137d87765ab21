import { bind } from './libc.ts'
import { SyscallError } from './syscall-error.ts'

const posixFallocate = bind('posix_fallocate', 'int', ['int', 'int64_t', 'int64_t'])

/** `EINTR`: a signal came first, nothing is wrong. */
const INTERRUPTED = 4

/**
 * Give the open file `bytes` bytes of real disk space from its start, so that writing there cannot
 * fail for want of space. The file grows to that size if it is smaller. `ENOSPC` if the disk is full.
 */
export function allocate(fd: number, bytes: number): void {
  for (;;) {
    const error = posixFallocate(fd, 0, bytes) // answers the error itself and leaves errno alone
    if (error === 0) return
    if (error !== INTERRUPTED) throw new SyscallError('posix_fallocate', error)
  }
}
