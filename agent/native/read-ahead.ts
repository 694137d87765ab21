import { bind } from './libc.ts'

const posixFadvise = bind('posix_fadvise', 'int', ['int', 'int64_t', 'int64_t', 'int'])

/** `POSIX_FADV_SEQUENTIAL` and `POSIX_FADV_WILLNEED` of <fcntl.h>. */
const advices = { sequential: 2, 'will-need': 3 } as const

/**
 * Tell the kernel how an open file will be read: `will-need` starts reading it into memory at once
 * and returns without waiting, `sequential` doubles its read-ahead. Advice only: a refusal changes
 * speed and nothing else, so there is no error to report.
 */
export function adviseReading(fd: number, advice: keyof typeof advices): void {
  posixFadvise(fd, 0, 0, advices[advice])
}
