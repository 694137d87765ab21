/** Refuse a buffer of another length than a call needs: native code would read or write past its end. */
export function assertLength(buffer: Uint8Array, bytes: number): void {
  if (buffer.length !== bytes) {
    throw new RangeError(`a buffer must be ${bytes} bytes long, not ${buffer.length}`)
  }
}
