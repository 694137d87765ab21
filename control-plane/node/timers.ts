// Work that comes round by itself. A run that fails is logged, and the next one comes all the same.
import { type Clock, type Duration, SECOND } from '../../shared/clock.ts'
import type { Log } from '../core/log.ts'

export interface Task {
  /** For the log. */
  readonly name: string
  /** Pause between the end of one run and the start of the next. */
  readonly every: Duration
  run(): Promise<unknown>
}

/** A run that took longer than this is worth a line. */
const SLOW = 30 * SECOND

/** Starts every task at once; a task never overlaps itself. `stop` resolves when none is under way. */
export function startTimers(
  deps: { clock: Clock; log: Log },
  tasks: readonly Task[],
): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const loops = tasks.map((task) => loop(deps, task, stopping.signal))
  return {
    async stop() {
      stopping.abort()
      await Promise.all(loops)
    },
  }
}

async function loop(
  { clock, log }: { clock: Clock; log: Log },
  task: Task,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const begun = clock.monotonic()
    try {
      await task.run()
    } catch (error) {
      log.error('a timer task failed', { task: task.name, error })
    }
    const took = clock.monotonic() - begun
    if (took > SLOW) log.warn('a timer task was slow', { task: task.name, milliseconds: took })
    await clock.sleep(task.every, signal).catch(() => undefined)
  }
}
