// Many quick looks into one directory.

import { openSync } from 'node:fs'
import { bind, checked } from './libc.ts'
import { OPEN_DIRECTORY } from './open-flags.ts'

const fchdir = bind('fchdir', 'int', ['int'])

/** Where the process stands otherwise; the root if the place it was started in cannot be opened. */
const home = openHome()

function openHome(): number {
  try {
    return openSync('.', OPEN_DIRECTORY)
  } catch {
    return openSync('/', OPEN_DIRECTORY)
  }
}

/**
 * Run `work` while the process stands in the directory open as `fd`, so that bare names mean its entries. It is
 * openat(2) for calls that have no such form, at a tenth of the cost of a path through /proc. `work` must
 * be synchronous: everything else in this process finds the working directory as it was.
 */
export function inDirectory<T>(fd: number, work: () => T): T {
  checked('fchdir', fchdir(fd))
  try {
    return work()
  } finally {
    checked('fchdir', fchdir(home))
  }
}
