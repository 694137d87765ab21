// Whether this attempt still owns its jobs. While it does not, nothing new leaves the host: the work waits.

/** The lease of a batch as the mover sees it. Held until told otherwise. */
export interface Lease {
  set(held: boolean): void
  readonly held: boolean
  /** Resolves at once while the lease is held, else when it is back. Rejects with the signal's reason. */
  whenHeld(signal: AbortSignal): Promise<void>
}

export function createLease(): Lease {
  let held = true
  let waiting: (() => void)[] = []
  return {
    get held() {
      return held
    },
    set(value) {
      held = value
      if (!held) return
      const woken = waiting
      waiting = []
      for (const wake of woken) wake()
    },
    async whenHeld(signal) {
      while (!held) {
        signal.throwIfAborted()
        await new Promise<void>((resolve, reject) => {
          const stop = (): void => reject(signal.reason)
          signal.addEventListener('abort', stop, { once: true })
          waiting.push(() => {
            signal.removeEventListener('abort', stop)
            resolve()
          })
        })
      }
      signal.throwIfAborted()
    },
  }
}
