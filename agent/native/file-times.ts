import { AT_FDCWD, bind, checked, cPath } from './libc.ts'

const utimensat = bind('utimensat', 'int', ['int', 'void *', 'void *', 'int'])

/** `AT_SYMLINK_NOFOLLOW` of <fcntl.h>. */
const NO_FOLLOW = 0x100
const SECOND = 1_000_000_000n

/**
 * Set both times of an entry itself (a symlink is not followed), in whole nanoseconds since 1970,
 * negative before it. `fs.utimes` takes a double and would lose the last three digits.
 */
export function setTimes(path: Buffer | string, accessedNs: bigint, modifiedNs: bigint): void {
  const times = timesBuffer(accessedNs, modifiedNs)
  checked('utimensat', utimensat(AT_FDCWD, cPath(path), times, NO_FOLLOW))
}

const scratch = Buffer.alloc(32)

/** Both times as `struct timespec[2]` of a 64-bit Linux: seconds, nanoseconds, twice. Lent until the next call. */
export function timesBuffer(accessedNs: bigint, modifiedNs: bigint): Buffer {
  writeTimespec(scratch, 0, accessedNs)
  writeTimespec(scratch, 16, modifiedNs)
  return scratch
}

function writeTimespec(into: Buffer, offset: number, ns: bigint): void {
  const fraction = ((ns % SECOND) + SECOND) % SECOND // the kernel wants 0 … 999,999,999 also before 1970
  into.writeBigInt64LE((ns - fraction) / SECOND, offset)
  into.writeBigInt64LE(fraction, offset + 8)
}
