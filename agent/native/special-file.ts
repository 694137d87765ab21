import { constants } from 'node:fs'
import { bind, checked, cPath } from './libc.ts'

const mknod = bind('mknod', 'int', ['void *', 'uint32_t', 'uint64_t'])

/** What `makeSpecialFile` can make. */
export type SpecialKind = 'fifo' | 'chardev' | 'dev' | 'socket'

const formats: Record<SpecialKind, number> = {
  fifo: constants.S_IFIFO,
  chardev: constants.S_IFCHR,
  dev: constants.S_IFBLK,
  socket: constants.S_IFSOCK,
}

/**
 * Make a fifo, a device, or a socket that nobody listens on; nobody may use it yet (mode 000).
 * `device` is the kernel's number as `lstat` shows it in `rdev`; 0 for what is no device. Devices need CAP_MKNOD.
 */
export function makeSpecialFile(path: Buffer | string, kind: SpecialKind, device: bigint): void {
  checked('mknod', mknod(cPath(path), formats[kind], device))
}
