// Work that must be done later, at least once: deliveries of alerts, claim checks.

export interface QueueMessage {
  readonly id: string
  readonly topic: string
  /** JSON text, ≤ 64 KiB, no secrets. */
  readonly body: string
  /** 1 on the first delivery. */
  readonly attempt: number
}

/**
 * At least once, roughly in order. A received message is hidden for `visibilityMs`; whoever neither
 * acknowledges nor postpones it in time sees it again with a higher `attempt`.
 * Sending happens in the same database batch as the change that caused it (see the libSQL adapter's
 * `change`); `send` here is for what has no change.
 */
export interface Queue {
  send(topic: string, body: string, delayMs: number): Promise<void>
  receive(topic: string, limit: number, visibilityMs: number): Promise<QueueMessage[]>
  acknowledge(message: QueueMessage): Promise<void>
  /** Give it back for `delayMs` from now. */
  postpone(message: QueueMessage, delayMs: number): Promise<void>
}
