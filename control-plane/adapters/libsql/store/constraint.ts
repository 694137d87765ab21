// What SQLite says when a unique index refuses a row.
import { LibsqlError } from '@libsql/client'

/** Runs a change; a row that a unique index refused counts as a guard that did not hold: nothing was written. */
export async function unlessTaken(wanted: Promise<boolean>): Promise<boolean> {
  try {
    return await wanted
  } catch (error) {
    if (isConstraint(error)) return false
    throw error
  }
}

function isConstraint(error: unknown): boolean {
  return (
    error instanceof LibsqlError &&
    (/^SQLITE_CONSTRAINT/.test(error.code) || /^SQLITE_CONSTRAINT/.test(error.extendedCode ?? ''))
  )
}
