// What this batch may use of its host, and who has to hear when that changes.
import { readdirSync } from 'node:fs'
import { setPriority } from 'node:os'
import type { Limits } from '../../shared/backup/limits.ts'
import { setIoPriority } from '../native/io-priority.ts'
import { systemErrorCode } from '../native/syscall-error.ts'

export interface LiveLimits {
  readonly now: Limits
  set(next: Limits): void
  /** Called at once, and after every change, until the function that comes back is called. */
  follow(heed: (limits: Limits) => void): () => void
}

export function createLiveLimits(first: Limits): LiveLimits {
  let now = first
  const followers = new Set<(limits: Limits) => void>()
  return {
    get now() {
      return now
    },
    set(next) {
      now = next
      for (const heed of followers) heed(now)
    },
    follow(heed) {
      followers.add(heed)
      heed(now)
      return () => {
        followers.delete(heed)
      }
    },
  }
}

/** What a mover has without a word about it: below what people run on the host, above nothing. */
const usualNice = 10
/** Best effort, last of its eight levels. */
const usualIoLevel = 7

/**
 * Set the CPU and disk priority of every thread of this process: on Linux each has its own, and those that begin later
 * have what the thread had that began them. Resolves to false where this user may not raise a priority again.
 */
export function setOwnPriority({ nice = usualNice, io = 'best-effort' }: Limits): boolean {
  const priority =
    io === 'idle' ? { class: 'idle' as const } : { class: 'normal' as const, level: usualIoLevel }
  let allowed = true
  for (const name of readdirSync('/proc/self/task')) {
    const thread = Number(name)
    try {
      setPriority(thread, nice)
      setIoPriority(priority, thread)
    } catch (error) {
      const code = systemErrorCode(error) ?? (error as { info?: { code?: string } }).info?.code
      if (code === 'ESRCH') continue // a thread that ended meanwhile
      if (code !== 'EACCES' && code !== 'EPERM') throw error
      allowed = false
    }
  }
  return allowed
}
