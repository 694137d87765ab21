// Limits as people write them, in policies and in a host's own file.
import * as z from 'zod'
import type { Limits } from '../backup/limits.ts'

const SHAPE = /^(\d{1,12}(?:\.\d{1,3})?)\s?([KMGT])?(?:i?B)?$/i
const factors: Readonly<Record<string, number>> = {
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
}

/** Bytes of `10M`, `1.5G`, `500K` or `1048576`; units are powers of 1024, as systemd's and restic's. Undefined: none. */
export function parseSize(text: string): number | undefined {
  const [, count, unit = ''] = SHAPE.exec(text.trim()) ?? []
  if (count === undefined) return undefined
  return Math.round(Number(count) * (factors[unit.toUpperCase()] ?? 1))
}

/** A size of at least `least` bytes, as text or as a number of bytes. Kept as it was written. */
function size(least: number, leastText: string) {
  const rule = `must be a size such as 512K, 10M or 1.5G, and at least ${leastText}`
  return z
    .union([z.string().max(32), z.int()])
    .refine((value) => (parseSize(String(value)) ?? 0) >= least, rule)
}

/** Below this a pack of 16 MiB takes hours, and grants lapse under way. */
const rate = size(2 ** 10, '1K')

export const limitsDocument = z.strictObject({
  workers: z
    .int()
    .min(1)
    .max(64)
    .optional()
    .describe('Threads that cut, hash, compress and seal; without it as many as the CPUs carry'),
  nice: z
    .int()
    .min(0)
    .max(19)
    .optional()
    .describe('CPU priority as of nice(1), 0 to 19; 10 without it'),
  io: z
    .enum(['best-effort', 'idle'])
    .optional()
    .describe('Disk priority as of ionice(1): best-effort (the lowest of it, the default) or idle'),
  memory: size(64 * 2 ** 20, '64M')
    .optional()
    .describe(
      'Memory one mover may use, e.g. 400M; a job that cannot keep within it fails before it starts',
    ),
  upload: rate.optional().describe('Bytes a second out of the host, e.g. 10M; per mover'),
  download: rate.optional().describe('Bytes a second into the host, e.g. 50M; per mover'),
  jobsAtOnce: z
    .int()
    .min(1)
    .max(16)
    .optional()
    .describe('Movers at work on a host at a time; two on each repository without it'),
})
export type LimitsDocument = z.infer<typeof limitsDocument>

/** The same in numbers. */
export function limitsOf(document: LimitsDocument | undefined): Limits {
  if (document === undefined) return {}
  const { workers, nice, io, jobsAtOnce } = document
  const bytes = (name: 'memory' | 'upload' | 'download') => {
    const value = document[name]
    const parsed = value === undefined ? undefined : parseSize(String(value))
    return parsed === undefined ? {} : { [name]: parsed }
  }
  return {
    ...(workers === undefined ? {} : { workers }),
    ...(nice === undefined ? {} : { nice }),
    ...(io === undefined ? {} : { io }),
    ...bytes('memory'),
    ...bytes('upload'),
    ...bytes('download'),
    ...(jobsAtOnce === undefined ? {} : { jobsAtOnce }),
  }
}
