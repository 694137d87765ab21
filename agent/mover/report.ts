// The sealed report of a job: names of the files concerned, for whoever holds the recovery key.
import { formatSource, type SourceReference } from '../../shared/backup/source.ts'
import type { Named, NamedCounts } from './named-counts.ts'
import { sealTo } from './sealed.ts'

/**
 * age ciphertext of `{ v, job, source, names: [{ what, path, detail? }] }`, or undefined where there is nothing to
 * tell or nobody to tell it to. Paths are base64 of their raw bytes, relative to the source's root; at most
 * fifty, as `NamedCounts` keeps them.
 */
export async function sealedReport<What extends string>(
  job: string,
  source: SourceReference,
  remarks: NamedCounts<What>,
  recipient: string | undefined,
): Promise<string | undefined> {
  const { names } = remarks
  if (names.length === 0 || recipient === undefined) return undefined
  const report = { v: 1, job, source: formatSource(source), names: names.map(readable) }
  return sealTo([recipient], JSON.stringify(report))
}

function readable<What extends string>({ what, path, detail }: Named<What>) {
  return { what, path: path.toString('base64'), ...(detail === undefined ? {} : { detail }) }
}

/** `3 unreadable, 1 changed`: what happened how often, without a name. */
export function tally<What extends string>(
  remarks: NamedCounts<What>,
  whats: Iterable<What>,
): string {
  return [...whats]
    .flatMap((what) => (remarks.count(what) > 0 ? [`${remarks.count(what)} ${what}`] : []))
    .join(', ')
}
