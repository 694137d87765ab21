// The two files that say who this host is and what it allows: agent.json is ours, host.yaml the operator's.
import { existsSync, readFileSync } from 'node:fs'
import * as z from 'zod'
import { ageRecipient, type JobKind, jobKind, jobKinds } from '../../shared/backup/job.ts'
import type { Limits } from '../../shared/backup/limits.ts'
import { absolutePath } from '../../shared/backup/source.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { id, plainName } from '../../shared/ids.ts'
import { limitsDocument, limitsOf } from '../../shared/policy/limits.ts'
import { settingError } from './setting-error.ts'

const enrolment = z.object({
  /** Origin of the control plane. */
  url: z.string(),
  host: id,
  name: plainName,
  repository: id,
  /** Pinned at enrolment; host.yaml alone may say otherwise. */
  recovery: ageRecipient.optional(),
})
export type Enrolment = z.infer<typeof enrolment>

/** What enrolment settled, or undefined before it. Throws `invalid` if the file cannot be used. */
export function readEnrolment(path: string): Enrolment | undefined {
  if (!existsSync(path)) return undefined
  let value: unknown
  try {
    value = JSON.parse(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new HoldfastError('invalid', `${path}: is not JSON`, { hint: MENDED, cause })
  }
  const parsed = enrolment.safeParse(value)
  if (!parsed.success) throw settingError(path, parsed.error, value, MENDED)
  return parsed.data
}
const MENDED = 'restore the file, or enrol the host again with an empty state directory'

const directories = z.array(absolutePath).max(1_000)
/** As sources, and `/` for any. */
const targets = z
  .array(
    z
      .string()
      .refine(
        (path) => path === '/' || absolutePath.safeParse(path).success,
        'must be an absolute path without empty, "." or ".." parts',
      ),
  )
  .max(1_000)

const hostFile = z.strictObject({
  recovery: ageRecipient.optional(),
  allow: z.array(jobKind).optional(),
  directories: directories.default([]),
  restoreDirectories: targets.default([]),
  inPlace: z.boolean().default(false),
  browseFiles: z.boolean().default(false),
  limits: limitsDocument.optional(),
})

/**
 * What this host lets the control plane ask for. Without a word from the operator a control plane in wrong hands
 * can restore to new volumes and list names; it can change nothing that is there, and read no content.
 */
export interface HostFile {
  readonly recovery: string | undefined
  /** Undefined: every kind. */
  readonly allow: readonly JobKind[] | undefined
  readonly directories: readonly string[]
  readonly restoreDirectories: readonly string[]
  readonly inPlace: boolean
  readonly browseFiles: boolean
  readonly limits: Limits
}

const REMEDY = `host.yaml may hold recovery (age1…), allow (a list of ${jobKinds.join(', ')}), directories and restoreDirectories (lists of absolute paths), inPlace and browseFiles (true or false), and limits (workers, nice, io, memory, upload, download, jobsAtOnce)`

/** The operator's rules with the pinned recipient. Throws `invalid` naming file, field, value and rule. */
export async function readHostRules(path: string, pinned: string | undefined): Promise<HostFile> {
  let value: unknown = {}
  if (existsSync(path)) {
    // Most hosts have no such file, and then the parser's memory is not spent.
    const { parse: parseYaml, YAMLParseError } = await import('yaml')
    try {
      value = parseYaml(readFileSync(path, 'utf8')) ?? {}
    } catch (cause) {
      const where = cause instanceof YAMLParseError ? cause.message.split('\n')[0] : String(cause)
      throw new HoldfastError('invalid', `${path}: ${where}`, { hint: REMEDY, cause })
    }
  }
  const parsed = hostFile.safeParse(value)
  if (!parsed.success) throw settingError(path, parsed.error, value, REMEDY)
  const { recovery = pinned, allow, limits, ...rest } = parsed.data
  return { recovery, allow, ...rest, limits: limitsOf(limits) }
}
