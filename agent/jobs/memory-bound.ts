// A memory bound of the kernel's around one mover, where the agent may make a control group below its own. The mover
// plans to keep within its limit by itself; this is for the day on which the plan was wrong.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface MemoryBound {
  /** Bytes the mover may use; undefined: as it likes. False where it uses more already, and cannot give it back. */
  limit(memory: number | undefined): boolean
  /** Did the kernel end it for using more? */
  readonly wasExceeded: boolean
  /** When the mover is gone. */
  remove(): void
}

/** The kernel counts what the page cache holds too, and ends what goes beyond: so its bound lies a quarter above. */
const slack = 1.25

interface Group {
  readonly path: string
  readonly version: 1 | 2
}

/** The agent's own group that counts memory, from the texts of /proc/self/cgroup and /proc/self/mountinfo. */
export function ownMemoryGroup(cgroup: string, mountinfo: string): Group | undefined {
  const mounts = mountinfo.split('\n').map((line) => {
    const [before = '', after = ''] = line.split(' - ')
    const [, , , root = '/', at = ''] = before.split(' ')
    const [type = '', , options = ''] = after.split(' ')
    return { root, at, type, options: options.split(',') }
  })
  const entries = cgroup.split('\n').map((line) => line.split(':'))
  const first = entries.find(([, controllers]) => controllers?.split(',').includes('memory'))
  const version = first === undefined ? 2 : 1
  const [, , path] = first ?? entries.find(([id]) => id === '0') ?? []
  const mount = mounts.find(({ type, options }) =>
    version === 1 ? type === 'cgroup' && options.includes('memory') : type === 'cgroup2',
  )
  if (path === undefined || mount === undefined) return undefined
  const below = path === mount.root || path.startsWith(`${mount.root}/`)
  const rest = mount.root !== '/' && below ? path.slice(mount.root.length) : path
  return { path: join(mount.at, rest), version }
}

/**
 * A group for the mover `pid` of `batch`, or undefined where none can be made: no such groups, a read-only mount, a
 * group of version 2 that was not handed over to the agent.
 */
export function makeMemoryBound(batch: string, pid: number): MemoryBound | undefined {
  const own = ownMemoryGroup(read('/proc/self/cgroup'), read('/proc/self/mountinfo'))
  if (own === undefined) return undefined
  const path = join(own.path, `holdfast-mover-${batch}`)
  const write = (name: string, value: string) => writeFileSync(join(path, name), value)
  try {
    if (own.version === 2 && !read(join(own.path, 'cgroup.subtree_control')).includes('memory')) {
      writeFileSync(join(own.path, 'cgroup.subtree_control'), '+memory')
    }
    mkdirSync(path, { recursive: true })
    write('cgroup.procs', String(pid))
  } catch {
    remove(path)
    return undefined // not ours to make: the mover's own plan has to do
  }
  return {
    limit(memory) {
      const most = memory === undefined ? undefined : String(Math.floor(memory * slack))
      try {
        if (own.version === 1) write('memory.limit_in_bytes', most ?? '-1')
        else {
          write('memory.high', memory === undefined ? 'max' : String(memory))
          write('memory.max', most ?? 'max')
        }
        return true
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error
        return false
      }
    },
    get wasExceeded() {
      const events = read(join(path, own.version === 1 ? 'memory.oom_control' : 'memory.events'))
      return /^oom_kill [1-9]/m.test(events)
    },
    remove: () => remove(path),
  }
}

function remove(path: string): void {
  try {
    if (existsSync(path)) rmdirSync(path)
  } catch {
    // The kernel lets go of a dead process a moment later; an empty group costs nothing and is made use of again.
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
