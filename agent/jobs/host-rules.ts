// What this host lets the control plane ask for: the operator's word in the host's own file.
import { realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { JobKind } from '../../shared/backup/job.ts'
import type { Limits } from '../../shared/backup/limits.ts'

export interface HostRules {
  /** The pinned recovery recipient; without it nothing is backed up. */
  readonly recovery: string | undefined
  /** Kinds of job that are carried out; undefined: all. */
  readonly allow: readonly JobKind[] | undefined
  /** Directories that may be backed up, with all below them. */
  readonly directories: readonly string[]
  /** Directories that may be restored into, with all below them. */
  readonly restoreDirectories: readonly string[]
  /** May a snapshot take the place of what a volume holds? */
  readonly inPlace: boolean
  /** What batches may use of this host, whatever their policies allow. */
  readonly limits: Limits
  /** May the content of single files be read out of a snapshot? Names may be. */
  readonly browseFiles: boolean
}

/** Is `path` one of `allowed`, or below one? By its letters alone. */
export function isWithin(path: string, allowed: readonly string[]): boolean {
  return allowed.some(
    (folder) => path === folder || path.startsWith(`${folder.replace(/\/$/, '')}/`),
  )
}

/** As `isWithin`, and also where symlinks lead: whoever may write in an allowed folder allows no other. */
export function isReallyWithin(path: string, allowed: readonly string[]): boolean {
  return isWithin(path, allowed) && isWithin(realOf(path), allowed.map(realOf))
}

/** The path with every symlink followed; the part that is not there yet stays as it is. */
function realOf(path: string): string {
  try {
    return realpathSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return join(realOf(dirname(path)), basename(path))
  }
}
