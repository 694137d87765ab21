import { getSystemErrorMap } from 'node:util'

/**
 * A system call that failed. Shaped like Node's own (`code`, `errno`, `syscall`), so that callers
 * need one test for both, but without a path: names of files belong in the sealed report only.
 */
export class SyscallError extends Error {
  readonly code: string
  /** Negative, as in Node. */
  readonly errno: number
  readonly syscall: string

  /** @param errno as the C library sets it: positive */
  constructor(syscall: string, errno: number) {
    const [code, meaning] = getSystemErrorMap().get(-errno) ?? [`E${errno}`, 'unknown error']
    super(`${syscall}: ${code} (${meaning})`)
    this.name = 'SyscallError'
    this.code = code
    this.errno = -errno
    this.syscall = syscall
  }
}

/** The symbolic code (`ENOENT`, …) of a failed system call, ours or Node's; undefined for any other error. */
export function systemErrorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
