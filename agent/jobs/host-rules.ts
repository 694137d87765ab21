// What this host lets the control plane ask for: the operator's word in the host's own file.
import { realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
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
  /** False: nothing is restored over a volume that is there. */
  readonly inPlace: boolean | undefined
}

/** Is `path` one of `allowed`, or below one? By its letters alone. */
export function isWithin(path: string, allowed: readonly string[] | undefined): boolean {
  return (
    allowed === undefined ||
    allowed.some((folder) => path === folder || path.startsWith(`${folder.replace(/\/$/, '')}/`))
  )
}

/** As `isWithin`, and also where symlinks lead: whoever may write in an allowed folder allows no other. */
export function isReallyWithin(path: string, allowed: readonly string[] | undefined): boolean {
  return (
    allowed === undefined ||
    (isWithin(path, allowed) && isWithin(realOf(path), allowed.map(realOf)))
  )
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
