// A command that carries an Idempotency-Key is carried out once, however often it is sent.
import { sha256Hex, utf8 } from '../../shared/bytes.ts'
import { DAY, MINUTE } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type { SecretBox } from '../ports/secret-box.ts'
import type { IdempotencyStore } from '../ports/store/idempotency.ts'
import type { Basics } from './deps.ts'

/** How long an answer is kept. */
export const ANSWER_LIFE = DAY

/** A request that has no answer after this long lost its process: its outcome is unknown. */
const UNDER_WAY = MINUTE

/** Printable ASCII, as the header's draft has it; ours is shorter. */
const KEY = /^[\x21-\x7e]{1,128}$/

export interface Answer {
  readonly status: number
  readonly contentType: string
  readonly body: string
}

export type Idempotency = ReturnType<typeof createIdempotency>

export function createIdempotency(deps: Basics & { store: IdempotencyStore; box: SecretBox }) {
  const { store, box, clock } = deps
  return {
    /**
     * The stored answer, or the one `carryOut` gives. A HoldfastError thrown by it frees the key (nothing was
     * changed); any other failure leaves it taken, because the outcome is unknown.
     */
    async once(
      token: string,
      key: string,
      request: string,
      carryOut: () => Promise<Answer>,
    ): Promise<{ answer: Answer; replayed: boolean }> {
      if (!KEY.test(key)) {
        throw new HoldfastError('invalid', 'Idempotency-Key must be 1 to 128 printable characters')
      }
      const requestHash = await sha256Hex(utf8(request))
      const place = `idempotency/${token}/${key}`
      if (!(await store.claim(token, key, requestHash, clock.now()))) {
        const found = await store.find(token, key)
        if (found === undefined)
          throw new HoldfastError('conflict', 'the key was just freed; try again')
        if (found.requestHash !== requestHash) {
          throw new HoldfastError('conflict', 'this Idempotency-Key was used for another request', {
            hint: 'use a new key for a new command',
          })
        }
        if (found.status === null || found.sealed === null) {
          const lost = found.at < clock.now() - UNDER_WAY
          throw new HoldfastError(
            'conflict',
            lost
              ? 'the first request with this Idempotency-Key broke off; whether it took effect is unknown'
              : 'the first request with this Idempotency-Key is still under way',
            {
              hint: lost
                ? 'look at what is there, then use a new key'
                : 'send it again in a moment',
            },
          )
        }
        const answer = JSON.parse(await box.open(found.sealed, place)) as Answer
        return { answer, replayed: true }
      }
      let answer: Answer
      try {
        answer = await carryOut()
      } catch (error) {
        if (error instanceof HoldfastError) await store.release(token, key)
        throw error
      }
      // If we die here the command took effect and its key stays taken: nobody repeats it.
      await store.answer(token, key, answer.status, await box.seal(JSON.stringify(answer), place))
      return { answer, replayed: false }
    },

    forget: () => store.forget(clock.now() - ANSWER_LIFE),
  }
}
