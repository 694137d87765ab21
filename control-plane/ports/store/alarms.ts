// Alarms that no change carries: something was seen that people must know.
import type { Trace } from './trace.ts'

export interface AlarmsStore {
  /** Writes events and messages of the trace, all or nothing. */
  raise(trace: Trace): Promise<void>
}
