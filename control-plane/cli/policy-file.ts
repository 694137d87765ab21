// Policy documents from a YAML or JSON file, with errors that name file, line and field.
import { isMap, isNode, isScalar, LineCounter, parseAllDocuments } from 'yaml'
import { HoldfastError } from '../../shared/errors.ts'
import { type PolicyDocument, policyDocument } from '../../shared/policy/document.ts'

/** Largest policy file, in characters: far above any sensible one. */
const MAX_FILE = 1 << 20

/** Problems shown at once; the rest is counted. */
const MAX_PROBLEMS = 10

/** The same policy as the file says it, and as it is understood. */
export interface ParsedPolicy {
  readonly document: PolicyDocument
  /** 1-based line where the document begins. */
  readonly line: number
}

/**
 * Every document of the file (separated by `---`). Throws `invalid` listing each problem as
 * `<file>:<line>: <field>: <rule>`.
 */
export function parsePolicyFile(file: string, text: string): ParsedPolicy[] {
  if (text.length > MAX_FILE) {
    throw new HoldfastError(
      'too-large',
      `${file}: ${text.length} characters; a policy file holds at most ${MAX_FILE}`,
    )
  }
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines, maxAliasCount: 100 } as object)
  const parsed: ParsedPolicy[] = []
  const problems: string[] = []
  for (const document of Array.isArray(documents) ? documents : []) {
    const start = document.contents?.range?.[0] ?? document.range?.[0] ?? 0
    if (document.errors.length > 0) {
      for (const error of document.errors) {
        const { line } = lines.linePos(error.pos[0])
        problems.push(`${file}:${line}: not YAML: ${error.message.split('\n', 1)[0]}`)
      }
      continue
    }
    const value: unknown = document.toJS({ maxAliasCount: 100 })
    if (value === null || value === undefined) continue
    const result = policyDocument.safeParse(value)
    if (result.success) {
      parsed.push({ document: result.data, line: lines.linePos(start).line })
      continue
    }
    for (const issue of result.error.issues) {
      const path = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))
      const unknown = issue.code === 'unrecognized_keys' ? issue.keys : [undefined]
      for (const key of unknown) {
        const whole = key === undefined ? path : [...path, key]
        const field = whole.length === 0 ? 'document' : whole.join('.')
        const rule =
          key === undefined
            ? issue.message
            : `unknown field; known here: ${knownFields(path).join(', ')}`
        problems.push(`${file}:${lineOf(document, whole, lines, start)}: ${field}: ${rule}`)
      }
    }
  }
  if (problems.length > 0) {
    const shown = problems.slice(0, MAX_PROBLEMS)
    const hidden = problems.length - shown.length
    throw new HoldfastError(
      'invalid',
      `${shown.join('\n')}${hidden > 0 ? `\n… and ${hidden} more` : ''}`,
      {
        hint: 'GET /api/v1/policy.schema.json is the JSON Schema of this document; editors can use it',
      },
    )
  }
  if (parsed.length === 0) {
    throw new HoldfastError('invalid', `${file}:1: document: the file holds no policy`)
  }
  return parsed
}

interface Positioned {
  getIn(path: Iterable<unknown>, keepScalar?: boolean): unknown
}

/** The line of the deepest part of `path` that the file has: of its name where it has one. */
function lineOf(
  document: Positioned,
  path: readonly PropertyKey[],
  lines: LineCounter,
  start: number,
): number {
  for (let length = path.length; length > 0; length--) {
    const above = document.getIn(path.slice(0, length - 1), true)
    const pair = isMap(above)
      ? above.items.find(({ key }) => nameOf(key) === path[length - 1])
      : null
    const node = isNode(pair?.key) ? pair.key : document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line
  }
  return lines.linePos(start).line
}

function nameOf(key: unknown): unknown {
  return isScalar(key) ? key.value : key
}

function knownFields(path: readonly PropertyKey[]): string[] {
  if (path.length === 0) return Object.keys(policyDocument.shape)
  if (path[0] === 'select') return Object.keys(policyDocument.shape.select.shape)
  return ['cron', 'timezone']
}
