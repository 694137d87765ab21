// A policy: which sources of which hosts are backed up, and when. A YAML or JSON document.

import { Cron } from 'croner'
import * as z from 'zod'
import { absolutePath } from '../backup/source.ts'
import { plainName } from '../ids.ts'
import { limitsDocument } from './limits.ts'
import { retention } from './retention.ts'
import { nameParts } from './volume-name.ts'

/** Shell-like pattern: `*` any run of characters, `?` one; everything else is itself. */
const pattern = z.string().min(1).max(255)

/** An IANA zone this runtime knows, e.g. `Europe/Berlin`. */
export const timeZone = z.string().refine(
  (zone) => {
    try {
      new Intl.DateTimeFormat('en', { timeZone: zone })
      return true
    } catch {
      return false
    }
  },
  {
    error: (issue) =>
      `unknown time zone "${String(issue.input)}"; use an IANA name such as "Europe/Berlin" or "UTC"`,
  },
)

/** Five fields, six with seconds first, or `@hourly … @yearly`; it must fire some day. */
export const cronPattern = z
  .string()
  .max(128)
  .superRefine((text, context) => {
    const fields = text.trim().split(/\s+/).length
    if (!text.startsWith('@') && fields !== 5 && fields !== 6) {
      context.addIssue({
        code: 'custom',
        message: `cron "${text}" has ${fields} fields; five are needed, or six with seconds first`,
      })
      return
    }
    try {
      if (new Cron(text, { paused: true, timezone: 'UTC' }).nextRun() === null) {
        context.addIssue({ code: 'custom', message: `cron "${text}" never fires` })
      }
    } catch (error) {
      const why =
        error instanceof Error ? error.message.replace(/^CronPattern: /, '') : 'unreadable'
      context.addIssue({ code: 'custom', message: `cron "${text}" is not usable: ${why}` })
    }
  })

export const policyDocument = z.strictObject({
  apiVersion: z.literal('holdfast/v1').describe('Version of this document format'),
  kind: z.literal('Policy'),
  name: plainName.describe('Unique name of the policy; applying the same name again replaces it'),
  select: z
    .strictObject({
      hosts: z.array(pattern).min(1).default(['*']).describe('Host names, with * and ?'),
      volumes: z.array(pattern).default([]).describe('Volume names, with * and ?'),
      labels: z
        .record(z.string(), pattern)
        .default({})
        .describe('Volumes that carry all these labels'),
      projects: z.array(pattern).default([]).describe('Volumes of these Compose projects'),
      names: z
        .array(
          z
            .strictObject({
              project: pattern.optional(),
              environment: pattern.optional(),
              service: pattern.optional(),
              data_type: pattern.optional(),
            })
            .refine(
              (parts) => nameParts.some((part) => parts[part] !== undefined),
              'names nothing: give project, environment, service or data_type',
            ),
        )
        .default([])
        .describe('Volumes named {project}_{environment}_{service}_{data_type} whose parts match'),
      directories: z
        .array(absolutePath)
        .default([])
        .describe('Absolute paths on the hosts; each host must allow them'),
      exclude: z.array(pattern).default([]).describe('Volume names to leave out'),
      anonymous: z.boolean().default(false).describe('Also volumes that were made without a name'),
    })
    .refine(
      (select) =>
        select.volumes.length +
          Object.keys(select.labels).length +
          select.projects.length +
          select.names.length +
          select.directories.length >
        0,
      'selects nothing: give volumes, labels, projects, names or directories (volumes: ["*"] means every named volume)',
    ),
  schedule: z
    .strictObject({
      cron: cronPattern,
      timezone: timeZone.default('UTC'),
    })
    .optional()
    .describe('When to run; without it the policy runs only by hand'),
  retention: retention
    .optional()
    .describe(
      'What is kept of each source: rules as of restic forget, OR-ed; without it everything is kept',
    ),
  limits: limitsDocument
    .optional()
    .describe(
      'How much of a host its jobs may use; may change while they run. A host may allow less in its own file',
    ),
  volatile: z
    .array(z.string().min(1).max(1_024))
    .max(256)
    .default([])
    .describe('Paths that may change while read without a warning, e.g. "*.log"'),
})
export type PolicyDocument = z.infer<typeof policyDocument>
