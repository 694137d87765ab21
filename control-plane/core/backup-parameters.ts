// What a backup job carries.

import type { ParametersOf } from '../../shared/backup/job.ts'
import type { SourceReference } from '../../shared/backup/source.ts'
import { formatInstant, type Instant } from '../../shared/clock.ts'
import type { Policy } from '../ports/store/policies.ts'

/**
 * `time` and `parent` are as of now; dispatch sets them anew when the job starts, because the snapshot's
 * time is the start of the job by the control plane's clock.
 */
export function backupParameters(wanted: {
  job: string
  source: SourceReference
  project: string | null
  policy: Pick<Policy, 'name' | 'document'> | undefined
  now: Instant
  readAll: boolean
}): ParametersOf<'backup'> {
  return {
    kind: 'backup',
    source: wanted.source,
    time: formatInstant(wanted.now),
    tags: [
      `job:${wanted.job}`,
      ...(wanted.policy === undefined ? [] : [`policy:${wanted.policy.name}`]),
      ...(wanted.project === null ? [] : [`app:${wanted.project}`]),
    ],
    volatile: wanted.policy?.document.volatile ?? [],
    readAll: wanted.readAll,
  }
}
