// Time and randomness as values that are passed in, so that a run can be replayed.

/** Milliseconds since 1970-01-01T00:00:00Z. */
export type Instant = number

/** A length of time in milliseconds. */
export type Duration = number

export const SECOND: Duration = 1_000
export const MINUTE: Duration = 60 * SECOND
export const HOUR: Duration = 60 * MINUTE
export const DAY: Duration = 24 * HOUR

export interface Clock {
  /** Wall time. It may jump; use it for what people read and for what is stored. */
  now(): Instant
  /** Milliseconds from an arbitrary start; never jumps back. Use it for lifetimes and time-outs. */
  monotonic(): number
  /** Resolves after `ms`; rejects with the signal's reason if it is aborted first. */
  sleep(ms: Duration, signal?: AbortSignal): Promise<void>
}

export interface Random {
  /** `length` bytes from a cryptographic source (a seeded one only in tests). */
  bytes(length: number): Uint8Array
}

/** RFC 3339 in UTC with milliseconds, e.g. `2026-01-02T03:04:05.678Z`. */
export function formatInstant(at: Instant): string {
  return new Date(at).toISOString()
}

/** A uniform number in [0, 1) with 32 bits of resolution: enough for jitter, not for secrets. */
export function fraction(random: Random): number {
  const b = random.bytes(4)
  return (((b[0]! << 24) | (b[1]! << 16) | (b[2]! << 8) | b[3]!) >>> 0) / 2 ** 32
}
