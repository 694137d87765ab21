// Hosts that have not been heard of.
import type { Instant } from '../../../shared/clock.ts'
import type { Trace } from './trace.ts'

export interface QuietHost {
  readonly id: string
  readonly name: string
  /** When it last showed life, or enrolled if it never did. */
  readonly lastSeen: Instant
}

export interface SilenceStore {
  /** Hosts of the fleet, not yet called silent, last heard of before `before`. */
  quiet(before: Instant): Promise<QuietHost[]>
  /** False when it was heard of meanwhile, or is called silent already. */
  markSilent(host: QuietHost, trace: Trace): Promise<boolean>
}
