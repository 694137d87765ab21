// What is mounted where, as the kernel tells it (proc_pid_mountinfo(5)).
import { readFileSync } from 'node:fs'

export interface Mount {
  /** Unique while it is mounted. */
  readonly id: number
  /** The folder of the mounted file system that shows here. */
  readonly root: string
  readonly mountPoint: string
  readonly type: string
  readonly source: string
  readonly readOnly: boolean
}

/** Space, tab, newline and backslash are written as three octal digits. */
function unescapePath(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )
}

/**
 * The mounts of a mountinfo text, in its order. Lines that do not have the documented shape are left
 * out: whoever asks "is this mounted?" must then hear no.
 */
export function parseMountinfo(text: string): Mount[] {
  const mounts: Mount[] = []
  for (const line of text.split('\n')) {
    const words = line.split(' ')
    const dash = words.indexOf('-', 6)
    const id = Number(words[0])
    if (dash === -1 || words.length < dash + 3 || !Number.isInteger(id)) continue
    const options = `${words[5]},${words[dash + 3] ?? ''}`.split(',')
    mounts.push({
      id,
      root: unescapePath(words[3]!),
      mountPoint: unescapePath(words[4]!),
      type: words[dash + 1]!,
      source: unescapePath(words[dash + 2]!),
      readOnly: options.includes('ro'),
    })
  }
  return mounts
}

/** The mounts this process sees now. Read anew each time: they come and go with containers. */
export function currentMounts(): Mount[] {
  return parseMountinfo(readFileSync('/proc/self/mountinfo', 'utf8'))
}

/** The mount on exactly `path`; of several on top of each other the one that shows. */
export function mountAt(mounts: readonly Mount[], path: string): Mount | undefined {
  return mounts.findLast((mount) => mount.mountPoint === path)
}
