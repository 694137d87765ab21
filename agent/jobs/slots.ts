// How many movers may work on one repository at once.

/** Two write side by side well; more only wait for the same disk and store. */
const MOVERS_PER_REPOSITORY = 2

export interface Slots {
  /** Wait for a place, in order of asking; resolves with the function that gives it back. Rejects when aborted. */
  take(repository: string, alone: boolean, signal: AbortSignal): Promise<() => void>
}

interface Waiting {
  readonly alone: boolean
  readonly go: () => void
}

export function createSlots(): Slots {
  const queues = new Map<string, { busy: number; alone: boolean; waiting: Waiting[] }>()

  function advance(repository: string): void {
    const queue = queues.get(repository)!
    for (;;) {
      const next = queue.waiting[0]
      const room = next?.alone ? queue.busy === 0 : queue.busy < MOVERS_PER_REPOSITORY
      if (next === undefined || queue.alone || !room) return
      queue.waiting.shift()
      queue.busy++
      queue.alone = next.alone
      next.go()
    }
  }

  return {
    take(repository, alone, signal) {
      const queue = queues.get(repository) ?? { busy: 0, alone: false, waiting: [] }
      queues.set(repository, queue)
      return new Promise((resolve, reject) => {
        const give = () => {
          queue.busy--
          queue.alone = false
          advance(repository)
        }
        const leave = () => {
          queue.waiting = queue.waiting.filter((w) => w !== mine)
          reject(signal.reason)
          advance(repository)
        }
        const mine: Waiting = {
          alone,
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
