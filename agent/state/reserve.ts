// Disk space kept in hand, so that a full disk can still be reported.
import {
  closeSync,
  existsSync,
  fdatasyncSync,
  ftruncateSync,
  openSync,
  statSync,
  writeSync,
} from 'node:fs'
import { PRIVATE_FILE } from './write-file.ts'

/** Bytes kept: a full outbox, the journal and some hundred finish reports with their lists of files. */
export const RESERVE_BYTES = 64 * 2 ** 20
/** Bytes given back per step: one record always fits, and the reserve lasts for eight steps. */
const STEP_BYTES = 8 * 2 ** 20
const CHUNK = Buffer.alloc(2 ** 20)

export interface Reserve {
  /** Free a step of the reserve. False when nothing is left to give. */
  release(): boolean
  /** Fill the reserve up again as far as the disk allows. True when it is whole. */
  refill(): boolean
}

/** True for errors that free space would cure: the disk or the quota is full. */
export function isDiskFull(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code
  return code === 'ENOSPC' || code === 'EDQUOT'
}

/** The reserve in the file `path`. It is written out, since a hole would hold no space. */
export function createReserve(path: string, bytes: number = RESERVE_BYTES): Reserve {
  const size = () => (existsSync(path) ? statSync(path).size : 0)
  return {
    release() {
      const left = size()
      if (left === 0) return false
      const fd = openSync(path, 'r+')
      try {
        ftruncateSync(fd, Math.max(0, left - STEP_BYTES))
      } finally {
        closeSync(fd)
      }
      return true
    },
    refill() {
      let at = size()
      if (at >= bytes) return true
      const fd = openSync(path, 'a', PRIVATE_FILE)
      try {
        while (at < bytes) at += writeSync(fd, CHUNK, 0, Math.min(CHUNK.length, bytes - at))
        fdatasyncSync(fd)
        return true
      } catch (error) {
        if (!isDiskFull(error)) throw error
        return false
      } finally {
        closeSync(fd)
      }
    },
  }
}
