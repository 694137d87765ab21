// In whose name the batch asks for grants: any job of it may, until a newer attempt owns that job.

import type { GrantSource } from '../storage/grant-desk.ts'
import type { Lease } from './lease.ts'
import type { AttemptOf, Plane } from './plane.ts'
import { Refusal } from './refusal.ts'

export interface Speaking {
  readonly grants: GrantSource
  speak(attempt: AttemptOf): void
}

/** Codes that mean: this job is no longer ours, the others may be. */
const gone: ReadonlySet<string> = new Set(['fence-stale', 'not-found'])

/**
 * `others` are the attempts that may speak when the current one is refused as stale; `onGone` hears of the
 * refused one.
 */
export function createSpeaking(deps: {
  plane: Plane
  lease: Lease
  signal: AbortSignal
  others: () => readonly AttemptOf[]
  onGone: (attempt: AttemptOf, refusal: Refusal) => void
}): Speaking {
  const { plane, lease, signal, others, onGone } = deps
  let current: AttemptOf | undefined

  async function inSomeName<T>(ask: (attempt: AttemptOf) => Promise<T>): Promise<T> {
    for (;;) {
      await lease.whenHeld(signal)
      const attempt = current ?? others()[0]
      if (attempt === undefined) throw new RangeError('no job is left to speak for')
      try {
        return await ask(attempt)
      } catch (error) {
        if (!(error instanceof Refusal) || !gone.has(error.code)) throw error
        onGone(attempt, error)
        current = others().find((other) => other.job !== attempt.job)
        if (current === undefined) throw error
      }
    }
  }

  return {
    speak(attempt) {
      current = attempt
    },
    grants: {
      grants: (request) =>
        inSomeName(async (attempt) => {
          const answer = await plane.ask('grants', { ...attempt, ...request }, { signal })
          return answer.grants
        }),
      stored: (objects) =>
        inSomeName(async (attempt) => {
          const answer = await plane.ask('stored', { ...attempt, objects }, { signal })
          return answer.objects
        }),
    },
  }
}
