// Repositories of restic's first format: opened, read, restored and checked, and never written.
import type { Repository } from '../repository/repository.ts'
import { JobFailure } from './job-failure.ts'

/** What to do about it, as part of a sentence. */
export const readOnly =
  'the repository has format version 1, which is read and not written: "restic migrate upgrade_repo_v2" upgrades it in place'

/** Rejects with `repository-read-only` where nothing may be written. */
export function requireWritable({ version }: Repository): void {
  if (version === 1) throw new JobFailure('repository-read-only', readOnly)
}
