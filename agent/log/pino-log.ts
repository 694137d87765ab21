// The log's one implementation: JSON lines by pino, fields picked from the closed list, texts scrubbed.
import { destination, type Level, type Logger, pino } from 'pino'
import { type Log, type LogFields, logFields } from './log.ts'
import { scrub } from './scrub.ts'

const allowed = new Set<string>(logFields)

function pick(fields: LogFields | undefined): Record<string, string | number | boolean> {
  const picked: Record<string, string | number | boolean> = {}
  for (const [key, value] of Object.entries(fields ?? {})) {
    if (value === undefined || !allowed.has(key)) continue
    picked[key] = typeof value === 'string' ? scrub(value) : value
  }
  return picked
}

function logOf(logger: Logger): Log {
  return {
    info: (message, fields) => logger.info(pick(fields), scrub(message)),
    warn: (message, fields) => logger.warn(pick(fields), scrub(message)),
    error: (message, fields) => logger.error(pick(fields), scrub(message)),
  }
}

/** A log on file descriptor `fd` (2 is stderr). Lines are written at once: the last one before a crash counts. */
export function createPinoLog(options: { level: Level | 'silent'; fd: number }): Log {
  return logOf(
    pino(
      {
        level: options.level,
        base: null,
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
      },
      destination({ fd: options.fd, sync: true }),
    ),
  )
}
