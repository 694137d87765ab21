// The second line of defence: what looks like a secret is blotted out of any text before it is written.

/** Longest text of one field, in UTF-16 code units. */
const LONGEST = 500

const patterns: [shape: RegExp, instead: string][] = [
  // Everything a URL carries after its path: presigned URLs are bearer secrets.
  [/(\bhttps?:\/\/[^\s?#"'<>]*)[?#](?!…)[^\s"'<>]*/gi, '$1?…'],
  // User and password inside a URL (proxies).
  [/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/@"'<>]*@/gi, '$1…@'],
  // Our own tokens, and age's secret keys.
  [/\bhf_[a-z]+_[A-Za-z0-9_-]+/g, 'hf_…'],
  [/\bAGE-SECRET-KEY-[A-Z0-9-]+/gi, 'AGE-SECRET-KEY-…'],
  [/\bBearer\s+[^\s"']+/gi, 'Bearer …'],
  [/\bX-Amz-(?:Signature|Credential|Security-Token)=[^\s&"']+/gi, 'X-Amz-…'],
]

/** `text` without URL queries, credentials and tokens, at most 500 characters long. */
export function scrub(text: string): string {
  const clean = patterns.reduce((rest, [shape, instead]) => rest.replace(shape, instead), text)
  return clean.length > LONGEST ? `${clean.slice(0, LONGEST)}…` : clean
}

/** An error in one line for the log: its code and scrubbed message, and the same of its cause. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return scrub(String(error))
  const code = (error as { code?: unknown }).code
  const own = typeof code === 'string' ? `${code}: ${error.message}` : error.message
  const cause = error.cause instanceof Error ? ` (${describeError(error.cause)})` : ''
  return scrub(own + cause)
}
