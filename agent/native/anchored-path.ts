// Paths that start at an open directory instead of at the root.

/**
 * The path of `name` inside the directory open as `fd`, for any call that takes a path.
 *
 * It has the meaning of openat(2): the kernel goes straight to the open directory, so whatever is
 * renamed or replaced by a symlink above it cannot lead the call elsewhere, and a tree may be deeper
 * than the longest path (4,096 bytes) allows. `name` must be a single path component; the call itself
 * must not follow it if it is a symlink. Needs /proc, as every Linux container has it.
 */
export function anchoredPath(fd: number, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`/proc/self/fd/${fd}/`), name])
}

/** The path of whatever is open as `fd`; following it reaches exactly that file, also for `O_PATH`. */
export function descriptorPath(fd: number): string {
  return `/proc/self/fd/${fd}`
}
