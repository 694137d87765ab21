// Opening and making entries of an open directory: openat(2) itself, at half the cost of a path through /proc.

import { AT_FDCWD, bind, checked, cPath } from './libc.ts'

const openat = bind('openat', 'int', ['int', 'void *', 'int', 'uint32_t'])
const mkdirat = bind('mkdirat', 'int', ['int', 'void *', 'uint32_t'])

/** `O_CLOEXEC` of <fcntl.h>, the same on x86-64 and arm64: no program started meanwhile inherits the descriptor. */
const O_CLOEXEC = 0o2_000_000

/**
 * Open `name`, a single path component, in the directory open as `directory`. `flags` as for `open`; a caller who
 * must not be led elsewhere passes `O_NOFOLLOW`. `mode` counts where `O_CREAT` makes a file.
 */
export function openAt(directory: number, name: Buffer, flags: number, mode = 0): number {
  return checked('openat', openat(anchor(directory), component(name), flags | O_CLOEXEC, mode))
}

/** Make the directory `name`, a single path component, in the directory open as `directory`. */
export function makeDirectoryAt(directory: number, name: Buffer, mode: number): void {
  checked('mkdirat', mkdirat(anchor(directory), component(name), mode))
}

/** A descriptor that is none would make the working directory the anchor (`AT_FDCWD`). */
function anchor(directory: number): number {
  if (directory >= 0 && directory !== AT_FDCWD) return directory
  throw new RangeError('not the descriptor of a directory')
}

/** An absolute path, or one with several components, would leave the directory whatever is open. */
function component(name: Buffer): Buffer {
  if (name.includes(0x2f)) throw new RangeError('a name in a directory cannot hold a slash')
  return cPath(name)
}
