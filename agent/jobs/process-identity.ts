// Telling a process from a later one with the same number.
import { readFileSync } from 'node:fs'

export interface ProcessIdentity {
  readonly pid: number
  /** Start in clock ticks since boot, and the boot it counts from. */
  readonly started: string
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return '' // no such process
  }
}

/** Field 22 of /proc/<pid>/stat; the name in field 2 may hold anything, so count from its closing bracket. */
function startOf(pid: number): string | undefined {
  const stat = readOrEmpty(`/proc/${pid}/stat`)
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = fields[19]
  if (stat === '' || ticks === undefined || fields[0] === 'Z') return undefined
  return `${ticks}@${readOrEmpty('/proc/sys/kernel/random/boot_id').trim()}`
}

/** Undefined if there is no such process (a dead one nobody has waited for counts as none). */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  const started = startOf(pid)
  return started === undefined ? undefined : { pid, started }
}

export function isAlive(process: ProcessIdentity): boolean {
  return startOf(process.pid) === process.started
}
