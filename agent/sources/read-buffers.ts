/** Bytes asked for at once: long enough that the system call costs nothing beside the copy. */
export const READ_BYTES = 1 << 20
/** Buffers kept for the next reader: two for each file that is read at a time. */
const KEPT = 6

const idle: Buffer[] = []

/** A buffer of `READ_BYTES` bytes, to be given back: the collector is slow to return such blocks to the system. */
export function takeReadBuffer(): Buffer {
  return idle.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES)
}

/** Nobody looks at `buffer` any more. */
export function giveBackReadBuffer(buffer: Buffer): void {
  if (idle.length < KEPT) idle.push(buffer)
}
