// What glibc does with large buffers that were freed.
import koffi from 'koffi'

/** `M_MMAP_THRESHOLD` of <malloc.h>. */
const mmapThreshold = -3
/** Bytes from which an allocation is a mapping of its own. Smaller ones are not worth the system calls. */
const ownMapping = 512 * 1024

let done = false

/**
 * From now on large buffers go back to the system as soon as they are freed. By default glibc learns from the first that
 * is freed to keep those that follow, and a run ends up holding tens of MB that nobody uses. Elsewhere nothing happens.
 */
export function giveBackLargeBuffers(): void {
  if (done) return
  done = true
  try {
    koffi.load(null).func('mallopt', 'int', ['int', 'int'])(mmapThreshold, ownMapping)
  } catch {
    // Another C library; musl gives large buffers back by itself.
  }
}
