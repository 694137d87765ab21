// How many movers may work at once: on one repository, and on the host.

/** Two write side by side well; more only wait for the same disk and store. */
const MOVERS_PER_REPOSITORY = 2

export interface Slots {
  /**
   * Wait for a place, in order of asking; resolves with the function that gives it back. Rejects when aborted.
   * `atOnce` is how many movers may be at work on the host, this one counted; asked again at each look.
   */
  take(
    repository: string,
    alone: boolean,
    signal: AbortSignal,
    atOnce?: () => number,
  ): Promise<() => void>
  /** What `atOnce` answers may have changed. */
  look(): void
}

interface Waiting {
  readonly alone: boolean
  readonly atOnce: () => number
  readonly go: () => void
}

export function createSlots(): Slots {
  const queues = new Map<string, { busy: number; alone: boolean; waiting: Waiting[] }>()
  /** What each mover at work lets be at work beside itself. */
  const working = new Set<() => number>()

  /** The strictest counts, whether it works already or wants to. */
  function hostHasRoom(next: Waiting): boolean {
    const most = Math.min(next.atOnce(), ...[...working].map((atOnce) => atOnce()))
    return working.size < most
  }

  function advance(repository: string): void {
    const queue = queues.get(repository)!
    for (;;) {
      const next = queue.waiting[0]
      const room = next?.alone ? queue.busy === 0 : queue.busy < MOVERS_PER_REPOSITORY
      if (next === undefined || queue.alone || !room || !hostHasRoom(next)) return
      queue.waiting.shift()
      queue.busy++
      queue.alone = next.alone
      working.add(next.atOnce)
      next.go()
    }
  }

  function look(): void {
    for (const repository of queues.keys()) advance(repository)
  }

  return {
    look,
    take(repository, alone, signal, atOnce = () => Number.POSITIVE_INFINITY) {
      const queue = queues.get(repository) ?? { busy: 0, alone: false, waiting: [] }
      queues.set(repository, queue)
      // One entry of its own for each mover, whoever answers.
      const own = (): number => atOnce()
      return new Promise((resolve, reject) => {
        const give = () => {
          queue.busy--
          queue.alone = false
          working.delete(own)
          look()
        }
        const leave = () => {
          queue.waiting = queue.waiting.filter((w) => w !== mine)
          reject(signal.reason)
          advance(repository)
        }
        const mine: Waiting = {
          alone,
          atOnce: own,
          go() {
            signal.removeEventListener('abort', leave)
            resolve(give)
          },
        }
        if (signal.aborted) return leave()
        signal.addEventListener('abort', leave, { once: true })
        queue.waiting.push(mine)
        advance(repository)
      })
    },
  }
}
