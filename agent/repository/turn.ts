// A turn of the event loop: not a wait, and no time passes in a replayed run.
import { setImmediate } from 'node:timers/promises'

/** Resolves once everything that was ready to run, messages and sockets included, has run. */
export function nextTurn(): Promise<void> {
  return setImmediate()
}
