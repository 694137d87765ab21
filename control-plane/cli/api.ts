// The typed client of the control plane's door for people.
import { type ClientResponse, hc } from 'hono/client'
import { HoldfastError } from '../../shared/errors.ts'
import { problemDocument } from '../../shared/problem.ts'
import type { App } from '../http/app.ts'
import type { Settings } from './settings.ts'

export type Api = ReturnType<typeof connect>

/** Routes under `/api/v1`, each call carrying the token. */
export function connect({ url, token }: Settings) {
  return hc<App>(url, { headers: { authorization: `Bearer ${token}` } }).api.v1
}

/** Something with a status and a body; what `hc` calls return. */
interface Answer {
  readonly ok: boolean
  readonly status: number
  text(): Promise<string>
}

/** The body of an answer that went well. */
type BodyOf<R> =
  R extends ClientResponse<infer T, infer S, 'json'>
    ? S extends 200 | 201 | 202
      ? T
      : never
    : never

/** What the control plane answered, or its problem document as an error of ours. */
export async function answerOf<R extends Answer>(call: Promise<R>): Promise<BodyOf<R>> {
  const response = await reach(call)
  return JSON.parse(await response.text()) as BodyOf<R>
}

/** For calls whose answer has no body. */
export async function done(call: Promise<Answer>): Promise<void> {
  await reach(call)
}

/** The answer itself, for what is streamed. */
export async function reach<R extends Answer>(call: Promise<R>): Promise<R> {
  let response: R
  try {
    response = await call
  } catch (error) {
    throw new HoldfastError(
      'plane-unavailable',
      `the control plane does not answer: ${rootCause(error)}`,
      {
        hint: 'check HOLDFAST_URL, and that `holdfast serve` or `holdfast up` runs there',
        cause: error,
      },
    )
  }
  if (response.ok) return response
  const text = await response.text()
  const problem = problemDocument.safeParse(parse(text))
  if (!problem.success) {
    throw new HoldfastError(
      'internal',
      `the control plane answered ${response.status} without a reason`,
      {
        hint: 'is HOLDFAST_URL the address of a Holdfast control plane?',
      },
    )
  }
  const { code, detail, hint } = problem.data
  throw new HoldfastError(code, detail, hint === undefined ? {} : { hint })
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** `fetch failed` says nothing; its innermost cause does. */
function rootCause(error: unknown): string {
  let current = error
  while (current instanceof Error && current.cause instanceof Error) current = current.cause
  return current instanceof Error ? current.message || current.name : String(current)
}
