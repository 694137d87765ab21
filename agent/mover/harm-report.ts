// The sealed report of a verification: which files of which snapshots the damage harms.
import type { HarmedEntry } from '../repository/check-report.ts'
import { sealTo } from './sealed.ts'

/** Paths that a verification looks for at most: a lost pack of small files harms some thousands, and this is a start. */
export const NAMES_WANTED = 1_000
/** Bytes of a report before it is sealed: with age and base64 it stays below what the control plane takes (256 KiB). */
const MOST_BYTES = 180_000
/** Snapshots told for each path; a file that never changed is in all of them. */
const SNAPSHOTS_TOLD = 3

/**
 * age ciphertext of `{ v, job, source: 'repository', names: [{ what, path, detail }] }`, or undefined where there is nothing to tell or nobody to
 * tell it to. Paths are base64 of their raw bytes from the snapshot's root; as many as there is room for.
 */
export async function sealedHarm(
  job: string,
  named: readonly HarmedEntry[],
  recipient: string | undefined,
): Promise<string | undefined> {
  if (named.length === 0 || recipient === undefined) return undefined
  const names: { what: string; path: string; detail: string }[] = []
  let bytes = 0
  for (const { what, path, snapshots } of named) {
    const name = { what, path: path.toString('base64'), detail: told(snapshots) }
    bytes += JSON.stringify(name).length + 1
    if (bytes > MOST_BYTES) break
    names.push(name)
  }
  return sealTo([recipient], JSON.stringify({ v: 1, job, source: 'repository', names }))
}

/** `snapshot 1a2b3c4d`, or the first few and how many more. */
function told(snapshots: readonly string[]): string {
  const first = snapshots.slice(0, SNAPSHOTS_TOLD).map((id) => id.slice(0, 8))
  const rest = snapshots.length - first.length
  const more = rest > 0 ? ` and ${rest} more` : ''
  return `${snapshots.length === 1 ? 'snapshot' : 'snapshots'} ${first.join(', ')}${more}`
}
