// Where the data of a sparse file lies.

import { bind, checked } from './libc.ts'
import { systemErrorCode } from './syscall-error.ts'

const lseek = bind('lseek', 'int64_t', ['int', 'int64_t', 'int'])

/** `SEEK_DATA` and `SEEK_HOLE` of <unistd.h>. */
const DATA = 3
const HOLE = 4

/** A stretch of bytes of a file: from `start` up to, not including, `end`. */
export interface Segment {
  readonly start: number
  readonly end: number
}

/**
 * The next stretch of data at or after `offset`, or undefined if only a hole follows. Between
 * stretches every byte reads as zero. A file system that knows no holes answers one stretch up to the end.
 */
export function nextData(fd: number, offset: number): Segment | undefined {
  const start = lseek(fd, offset, DATA)
  if (start === -1) {
    try {
      checked('lseek', start)
    } catch (error) {
      if (systemErrorCode(error) === 'ENXIO') return undefined
      throw error
    }
  }
  return { start, end: checked('lseek', lseek(fd, start, HOLE)) }
}

/** All stretches of data of an open file up to `size`, in order. */
export function* dataSegments(fd: number, size: number): Generator<Segment> {
  for (let offset = 0; offset < size; ) {
    const segment = nextData(fd, offset)
    if (!segment || segment.start >= size) return
    const end = Math.min(segment.end, size)
    yield { start: segment.start, end }
    offset = end
  }
}
