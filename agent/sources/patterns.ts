// Glob patterns over raw paths.

/** Any one character: a UTF-8 sequence, or a stray byte of a name that is not UTF-8; never a slash. */
const CHARACTER = '(?:[\\x00-\\x2e\\x30-\\x7f]|[\\xc0-\\xff][\\x80-\\xbf]*|[\\x80-\\xbf])'

/**
 * A test for paths relative to a source's root (`db/ib_logfile0`). `*` and `?` stay within one name, `**`
 * spans any number of directories. A pattern without a slash means a name at any depth, one that
 * starts with a slash means from the root. Every other character means itself.
 */
export function createPatternMatcher(patterns: readonly string[]): (path: Buffer) => boolean {
  if (patterns.length === 0) return () => false
  const expression = new RegExp(patterns.map(translate).join('|'), 's')
  return (path) => expression.test(path.toString('latin1'))
}

function translate(pattern: string): string {
  const anchored = pattern.slice(0, -1).includes('/') || pattern.startsWith('/')
  const trimmed = pattern.replace(/^\/+|\/+$/g, '')
  let out = ''
  for (let i = 0; i < trimmed.length; ) {
    const rest = trimmed.slice(i)
    const [token, expression] = next(rest)
    out += expression
    i += token
  }
  return `(?:^${anchored ? '' : '(?:.*/)?'}${out}$)`
}

/** How many characters of the pattern the next token takes, and the expression it becomes. */
function next(rest: string): [number, string] {
  if (rest.startsWith('**/')) return [3, '(?:.*/)?']
  if (rest.startsWith('/**') && rest.length === 3) return [3, '(?:/.*)?']
  if (rest.startsWith('**')) return [2, '.*']
  if (rest.startsWith('*')) return [1, '[^/]*']
  if (rest.startsWith('?')) return [1, CHARACTER]
  const character = String.fromCodePoint(rest.codePointAt(0)!)
  const bytes = Buffer.from(character).toString('latin1')
  return [character.length, bytes.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')]
}
