// How every door says that something went wrong: RFC 9457 problem documents.
import * as z from 'zod'
import { type ErrorCode, errorCodes } from './errors.ts'

/** One field that breaks its rule. */
export const fieldProblem = z.strictObject({
  /** Where in the document, e.g. `["select", "hosts", 0]`. */
  path: z.array(z.union([z.string(), z.int()])),
  /** The rule. Never the value: it may be secret. */
  message: z.string(),
})
export type FieldProblem = z.infer<typeof fieldProblem>

export const problemDocument = z.object({
  type: z.literal('about:blank'),
  title: z.string(),
  status: z.int(),
  /** What happened, for people. */
  detail: z.string(),
  /** From the closed list in `errors.ts`: what programs go by. */
  code: z.enum(Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]),
  /** What to do about it. */
  hint: z.string().optional(),
  fields: z.array(fieldProblem).optional(),
})
export type ProblemDocument = z.infer<typeof problemDocument>

export const PROBLEM_TYPE = 'application/problem+json'
