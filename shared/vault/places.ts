// Repositories that lie elsewhere than the layout says: those that were there before us.

/**
 * By repository id, where it really lies: a beginning of keys from the root of the bucket, or from the folder of a
 * disk vault. Empty, or ending in a slash.
 */
export type Places = Readonly<Record<string, string>>

const KEY = /^repositories\/([0-9a-f-]{36})\/(.*)$/s
/** Segments of a place: never empty, never beginning with a dot; none of them needs quoting anywhere. */
const SEGMENT = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/
const MAX_SEGMENTS = 16
/** Ours: a repository among them would be in the way of another's keys. */
const OURS = ['repositories', 'holdfast']

/** Where a key of the layout really lies, or undefined where the layout holds. Prefixes of keys work alike. */
export function placeOf(key: string, places: Places): string | undefined {
  const [, repository, rest] = KEY.exec(key) ?? []
  const place = repository === undefined ? undefined : places[repository]
  return place === undefined ? undefined : `${place}${rest}`
}

/**
 * `old/restic` or `/old/restic/` as `old/restic/`; undefined for what is no legal place. The root itself ("/")
 * is one in a bucket.
 */
export function parsePlace(text: string): string | undefined {
  const segments = text.split('/').filter((segment) => segment !== '')
  if (segments.length > MAX_SEGMENTS || !segments.every((segment) => SEGMENT.test(segment)))
    return undefined
  if (OURS.includes(segments[0] ?? '')) return undefined
  return segments.map((segment) => `${segment}/`).join('')
}

/** Whether one of two places lies within the other. */
export function overlap(a: string, b: string): boolean {
  return a.startsWith(b) || b.startsWith(a)
}
