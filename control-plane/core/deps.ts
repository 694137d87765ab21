// What nearly every decision needs.
import type { Clock, Random } from '../../shared/clock.ts'

export interface Basics {
  readonly clock: Clock
  readonly random: Random
}
