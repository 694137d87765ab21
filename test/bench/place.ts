// Where the bench keeps its data: in memory where there is enough of it, because programs are measured, not disks.
import { existsSync, readFileSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'

/** Linux's own file system in memory. */
const SHARED_MEMORY = '/dev/shm'
/** The largest set of data, two repositories of it, a restored tree, and the gateway's objects; in bytes. */
const ROOM = 9 * 1024 ** 3
/** Memory that the programs themselves want, in bytes. */
const PROGRAMS = 3 * 1024 ** 3
/** Files of the largest set and its repositories. */
const FILES = 1_200_000
/** The quick run needs a tenth, and some for what does not shrink with it. */
const LEAST_SHARE = 0.25

export function chooseFolder(scale: number, say: (line: string) => void): string {
  const share = Math.max(scale, LEAST_SHARE)
  const folder = hasRoom(share) ? SHARED_MEMORY : tmpdir()
  const why = folder === SHARED_MEMORY ? 'in memory' : 'on disk: there is too little memory'
  say(`Data and repositories lie ${why}.`)
  return folder
}

function hasRoom(share: number): boolean {
  if (!existsSync(SHARED_MEMORY)) return false
  const { bavail, bsize, ffree } = statfsSync(SHARED_MEMORY)
  const text = readFileSync('/proc/meminfo', 'utf8')
  const available = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(text)?.[1] ?? 0) * 1_024
  return (
    bavail * bsize >= ROOM * share && available >= ROOM * share + PROGRAMS && ffree >= FILES * share
  )
}
