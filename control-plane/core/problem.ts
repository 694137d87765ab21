// An error becomes the answer a door gives. What is not meant for callers becomes `internal`.
import type * as z from 'zod'
import { errorCodes, HoldfastError } from '../../shared/errors.ts'
import type { FieldProblem, ProblemDocument } from '../../shared/problem.ts'

/** A request whose fields break their rules, each named. */
export class InvalidFields extends HoldfastError {
  readonly fields: readonly FieldProblem[]
  constructor(fields: readonly FieldProblem[], options?: { hint?: string }) {
    super('invalid', fields.slice(0, SHOWN).map(sentence).join('; '), options)
    this.fields = fields
  }
}

/** Problems in the sentence for people; programs get all of them in `fields`. */
const SHOWN = 5

/** What is wrong in a document, field by field, in our words. */
export function fieldProblems(error: z.ZodError): FieldProblem[] {
  return error.issues.flatMap((issue): FieldProblem[] => {
    const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)))
    if (issue.code === 'invalid_type' && issue.message.endsWith('received undefined')) {
      return [{ path, message: 'is required' }]
    }
    if (issue.code !== 'unrecognized_keys') return [{ path, message: issue.message }]
    return issue.keys.map((key) => ({ path: [...path, key], message: 'unknown field' }))
  })
}

/** RFC 9457. Unknown errors say nothing of themselves: their text may hold anything. */
export function problem(error: unknown): ProblemDocument {
  const known =
    error instanceof HoldfastError
      ? error
      : new HoldfastError('internal', 'a fault of the control plane; its log has the details')
  const { status } = errorCodes[known.code]
  return {
    type: 'about:blank',
    title: known.code,
    status,
    detail: known.message,
    code: known.code,
    ...(known.hint === undefined ? {} : { hint: known.hint }),
    ...(known instanceof InvalidFields ? { fields: [...known.fields] } : {}),
  }
}

function sentence({ path, message }: FieldProblem): string {
  return path.length === 0 ? message : `${path.join('.')}: ${message}`
}
