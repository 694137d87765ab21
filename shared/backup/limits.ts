// How much of a host a batch may use, in numbers: what travels to agents and movers.
import * as z from 'zod'

/** What is absent is not limited beyond the program's own defaults. */
export const limits = z.strictObject({
  /** Threads that cut, hash, compress and seal. */
  workers: z.int().min(1).max(64).optional(),
  /** 0 (as everybody) to 19 (last). */
  nice: z.int().min(0).max(19).optional(),
  io: z.enum(['best-effort', 'idle']).optional(),
  /** Bytes of memory a mover may hold. */
  memory: z.int().min(1).optional(),
  /** Bytes a second out of the host, and into it. */
  upload: z.int().min(1).optional(),
  download: z.int().min(1).optional(),
  /** Movers at work on the host at a time. */
  jobsAtOnce: z.int().min(1).max(16).optional(),
})
export type Limits = z.infer<typeof limits>

/** What keeps all of them: of each limit the one that allows least. */
export function strictest(...all: readonly Limits[]): Limits {
  const least = (name: 'workers' | 'memory' | 'upload' | 'download' | 'jobsAtOnce') => {
    const given = all.flatMap((one) => one[name] ?? [])
    return given.length === 0 ? {} : { [name]: Math.min(...given) }
  }
  const nices = all.flatMap(({ nice }) => nice ?? [])
  const ios = all.flatMap(({ io }) => io ?? [])
  return {
    ...least('workers'),
    ...(nices.length === 0 ? {} : { nice: Math.max(...nices) }),
    ...(ios.length === 0 ? {} : { io: ios.includes('idle') ? 'idle' : 'best-effort' }),
    ...least('memory'),
    ...least('upload'),
    ...least('download'),
    ...least('jobsAtOnce'),
  }
}
