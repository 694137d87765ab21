// The agent's log as the rooms see it: a constant sentence and fields from a closed list.

/** Fields a line may carry. What is not on this list is left out, so a secret cannot slip in by name. */
export const logFields = [
  'attempt',
  'attempts',
  'batch',
  'boot',
  'bytes',
  'code',
  'container',
  'containers',
  'count',
  'driver',
  'engine',
  'error',
  'exit',
  'fence',
  'files',
  'host',
  'job',
  'jobs',
  'kind',
  'level',
  'milliseconds',
  'name',
  'origin',
  'outcome',
  'phase',
  'pid',
  'protocol',
  'reason',
  'repository',
  'seconds',
  'signal',
  'status',
  'stderr',
  'torn',
  'version',
  'volume',
  'way',
] as const
export type LogField = (typeof logFields)[number]
export type LogFields = { readonly [field in LogField]?: string | number | boolean | undefined }

/** Where a room writes its lines. `message` is a constant sentence: what varies is a field. */
export interface Log {
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}
