// Locks in the bucket that movers asked for.
import type { Instant } from '../../../shared/clock.ts'
import type { Trace } from './trace.ts'

export interface Lock {
  readonly repository: string
  readonly id: string
  readonly batch: string
  /** The host whose mover it is. */
  readonly host: string
}

export interface LocksStore {
  /** Before the object is stored, so that no object is there that nobody knows of. True also when it was known. */
  add(lock: Omit<Lock, 'host'>, at: Instant, trace: Trace): Promise<boolean>
  find(repository: string, id: string): Promise<Lock | undefined>
  ofBatch(batch: string): Promise<Lock[]>
  /** After the object is gone. False when it was forgotten before. */
  forget(repository: string, id: string, trace: Trace): Promise<boolean>
  /** Locks of batches that ended, or whose last lease lapsed, before `before`. */
  abandoned(before: Instant): Promise<Lock[]>
}
