// A setting that breaks its rule, told so that it can be put right at once.
import type * as z from 'zod'
import { HoldfastError } from '../../shared/errors.ts'

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (inner as Record<PropertyKey, unknown> | undefined)?.[key],
    value,
  )
}

/** `host.yaml: allow.0: "drill": must be one of …`: place, field, value and rule of the first problem. */
export function settingError(
  place: string,
  error: z.ZodError,
  value: unknown,
  hint: string,
): HoldfastError {
  const issue = error.issues[0]!
  const field = issue.path.join('.')
  const given = valueAt(value, issue.path)
  const shown = given === undefined ? '' : `${JSON.stringify(given).slice(0, 200)}: `
  const name = field === '' ? '' : `${field}: `
  return new HoldfastError('invalid', `${place}: ${name}${shown}${issue.message}`, { hint })
}
