// What this host lets the control plane ask for: the operator's word in the host's own file.
import type { JobKind } from '../../shared/backup/job.ts'

export interface HostRules {
  /** The pinned recovery recipient; without it nothing is backed up. */
  readonly recovery: string | undefined
  /** Kinds of job that are carried out; undefined: all. */
  readonly allow: readonly JobKind[] | undefined
  /** Directories that may be backed up, with all below them; undefined: any. */
  readonly directories: readonly string[] | undefined
  /** Directories that may be restored into, with all below them; undefined: any that is absent or empty. */
  readonly restoreDirectories: readonly string[] | undefined
}

/** Is `path` one of `allowed`, or below one? */
export function isWithin(path: string, allowed: readonly string[] | undefined): boolean {
  return (
    allowed === undefined ||
    allowed.some((folder) => path === folder || path.startsWith(`${folder.replace(/\/$/, '')}/`))
  )
}
