// What every change leaves behind: audit events, and messages for later work.
import type { AuditEvent } from '../../../shared/audit/event.ts'

export interface OutgoingMessage {
  readonly id: string
  readonly topic: string
  /** JSON text, ≤ 64 KiB, no secrets. */
  readonly body: string
  /** When it may first be received, ms. */
  readonly visibleAt: number
  readonly createdAt: number
}

/**
 * Handed to every store method that changes something. The store writes all of it in the same batch as
 * the change, or nothing of either. A method that takes a trace resolves to false when its guard (state,
 * fence, version) no longer held; then nothing was written.
 */
export interface Trace {
  readonly events: readonly [AuditEvent, ...AuditEvent[]]
  readonly messages?: readonly OutgoingMessage[]
}
