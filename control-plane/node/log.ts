// The log: constant sentences, and fields from a list. What is not on the list is left out.
import { pino } from 'pino'
import { HoldfastError } from '../../shared/errors.ts'
import type { Log } from '../core/log.ts'

/** Fields that may be written. Ids, counts, codes and times; nothing a person or a store wrote. */
const ALLOWED = new Set([
  'address',
  'at',
  'attempt',
  'batch',
  'bytes',
  'cause',
  'code',
  'count',
  'data',
  'fault',
  'host',
  'job',
  'jobs',
  'listen',
  'milliseconds',
  'missed',
  'path',
  'policy',
  'publicUrl',
  'queued',
  'reason',
  'repository',
  'route',
  'signal',
  'source',
  'status',
  'task',
  'tls',
  'topic',
  'vault',
  'version',
  'what',
])

export function createLog(level: string): Log {
  const logger = pino(
    { level, base: null, timestamp: pino.stdTimeFunctions.isoTime },
    // stdout belongs to what a command prints; the log is beside it.
    pino.destination({ fd: 2, sync: true }),
  )
  const write =
    (how: 'info' | 'warn' | 'error') =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}) =>
      logger[how](allowed(fields), message)
  return { info: write('info'), warn: write('warn'), error: write('error') }
}

/** Only listed fields; errors as their kind, our code, and where they were thrown, never their text. */
export function allowed(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const kept: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) {
    if (name === 'error') kept.error = described(value)
    else if (ALLOWED.has(name)) kept[name] = value
  }
  return kept
}

/** Deepest chain of causes that is written. */
const MAX_CAUSES = 4

/**
 * Texts of foreign errors may hold SQL parameters, URLs or file names, so only those of our own errors are
 * written, which are made for callers to see.
 */
function described(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return { kind: typeof error }
  const code = (error as { code?: unknown }).code
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  return {
    kind: error.name,
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(error instanceof HoldfastError ? { message: error.message } : {}),
    at: frames.slice(0, 6).map((line) => line.trim()),
    ...(error.cause === undefined || depth >= MAX_CAUSES
      ? {}
      : { cause: described(error.cause, depth + 1) }),
    ...(error instanceof AggregateError && depth < MAX_CAUSES
      ? { errors: error.errors.slice(0, 5).map((one) => described(one, depth + 1)) }
      : {}),
  }
}
