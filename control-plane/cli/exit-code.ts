// Exit codes are restic's: 0 ok, 1 failed, 3 incomplete, 10 no repository, 11 locked, 12 wrong password, 130 cancelled.
import type { Outcome, Reason } from '../../shared/backup/outcome.ts'
import { errorCodes, HoldfastError } from '../../shared/errors.ts'

export function exitCodeOfError(error: unknown): number {
  return error instanceof HoldfastError ? errorCodes[error.code].exit : 1
}

export function exitCodeOfOutcome(outcome: Outcome, reason: Reason | null): number {
  if (outcome === 'succeeded') return 0
  if (outcome === 'warning') return 3
  if (outcome === 'cancelled') return 130
  if (reason === 'repository-locked') return 11
  if (reason === 'wrong-password') return 12
  return 1
}
