import { bind, checked } from './libc.ts'
import { systemErrorCode } from './syscall-error.ts'

/** `LOCK_EX | LOCK_NB` of <sys/file.h>. */
const EXCLUSIVE_NOW = 2 | 4

const flock = bind('flock', 'int', ['int', 'int'])

/**
 * Lock an open file for whoever holds `fd`, without waiting; false if another holds it. The lock ends when `fd` is
 * closed, so also, whatever happens, with its process.
 */
export function lockFile(fd: number): boolean {
  try {
    checked('flock', flock(fd, EXCLUSIVE_NOW))
    return true
  } catch (error) {
    if (systemErrorCode(error) === 'EAGAIN') return false // which is EWOULDBLOCK on Linux
    throw error
  }
}
