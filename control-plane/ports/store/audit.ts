// The audit log, for reading.
import type { AuditEvent } from '../../../shared/audit/event.ts'
import type { Instant } from '../../../shared/clock.ts'

export interface AuditEntry {
  /** Position in the log, from 0 without a gap. */
  readonly seq: number
  /** The event's canonical JSON, byte for byte as it is hashed. */
  readonly entry: string
}

export interface AuditFilter {
  readonly since?: Instant | undefined
  readonly until?: Instant | undefined
  /** Host id. */
  readonly host?: string | undefined
  readonly actor?: string | undefined
  /** Whole, or the beginning of it when it ends in `*`. */
  readonly action?: string | undefined
  readonly outcome?: AuditEvent['outcome'] | undefined
  readonly job?: string | undefined
}

export interface AuditStore {
  /** At most `limit` entries with `after` < seq ≤ `upTo`, oldest first. */
  forwards(filter: AuditFilter, after: number, upTo: number, limit: number): Promise<AuditEntry[]>
  /** At most `limit` entries with seq < `before`, newest first. */
  backwards(filter: AuditFilter, before: number, limit: number): Promise<AuditEntry[]>
  /** The newest seq, or -1. */
  newest(): Promise<number>
  /** An event of its own: a read that must be seen, a refusal. */
  record(event: AuditEvent): Promise<void>
}
