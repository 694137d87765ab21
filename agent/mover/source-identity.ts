// Is what shows under a path still what was read there? A volume that was let go of shows an empty folder in its place.
import { statSync } from 'node:fs'
import type { Job } from './batch.ts'

/** Device and inode of the source's root; empty where nothing can be looked at. Equal strings: the same folder. */
export function sourceIdentity({ prepared }: Job): string {
  if (prepared.path === undefined) return ''
  const root = statSync(prepared.path, { bigint: true, throwIfNoEntry: false })
  return root === undefined ? '' : `${root.dev}:${root.ino}`
}
