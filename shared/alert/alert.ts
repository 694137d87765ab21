// What people are told, and the fields every receiver gets.
import * as z from 'zod'
import { id } from '../ids.ts'

export const levels = ['info', 'warning', 'critical'] as const
export const level = z.enum(levels)
export type Level = z.infer<typeof level>

/** The closed list of alert types, with the level each has. */
export const alertTypes = {
  test: 'info',
  'job-failed': 'critical',
  'job-warning': 'warning',
  'job-missed': 'critical',
  'job-lost': 'warning',
  'host-silent': 'critical',
  'host-back': 'info',
  'duplicate-identity': 'critical',
  'object-conflict': 'critical',
  'clock-skew': 'warning',
  /** A prune would take away more than it may by itself. */
  'prune-needs-approval': 'warning',
  /** Snapshots are gone from the bucket, and nobody asked Holdfast for that. */
  'snapshots-removed': 'critical',
  /** An agent noticed something on its host that needs a hand. */
  'host-notice': 'warning',
} as const satisfies Record<string, Level>
export type AlertType = keyof typeof alertTypes

export const alert = z.strictObject({
  id,
  alert_type: z.enum(Object.keys(alertTypes) as [AlertType, ...AlertType[]]),
  level,
  /** One or two sentences: what happened, why, what to do. No file names, no secrets. */
  message: z.string().max(2_000),
  hostname: z.string().max(255),
  timestamp: z.iso.datetime(),
  job: id.optional(),
  source: z.string().max(4_200).optional(),
  policy: z.string().max(64).optional(),
  outcome: z.string().max(32).optional(),
  reason: z.string().max(64).optional(),
})
export type Alert = z.infer<typeof alert>
