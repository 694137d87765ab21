// Giving back large buffers at once: the garbage collector sees them late, and by then a run holds hundreds of MB.

/** Smaller buffers may share Node's pool, and are not worth the trouble. Bytes. */
const worthwhile = 256 * 1024

/**
 * Free the memory behind a buffer that nobody else holds. Whoever touches it afterwards finds it empty, so only
 * the code that made a buffer may release it.
 */
export function release(buffer: ArrayBufferView): void {
  const memory = buffer.buffer
  if (memory instanceof ArrayBuffer && memory.byteLength >= worthwhile) memory.transfer(0)
}
