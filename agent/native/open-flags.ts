import { constants } from 'node:fs'

/** `O_PATH` of <fcntl.h>: a handle on an entry without opening it; the same on x86-64 and arm64. Node does not name it. */
const O_PATH = 0o10_000_000
/** `O_CLOEXEC` is set by Node itself on every open. */
const { O_DIRECTORY, O_NOATIME, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/** A directory and nothing else; a symlink to one is refused (`ENOTDIR` or `ELOOP`). */
export const OPEN_DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW

/** Any entry, itself, without touching it: what the metadata of a fifo or a device is set through. */
export const OPEN_HANDLE = O_PATH | O_NOFOLLOW

/**
 * A file's content without following a symlink, waiting for the other end of a fifo, or leaving a
 * trace in its access time. `O_NOATIME` is for owners and CAP_FOWNER only (`EPERM` otherwise).
 */
export const OPEN_CONTENT = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME
export const OPEN_CONTENT_WITH_ATIME = O_RDONLY | O_NOFOLLOW | O_NONBLOCK
