// A scheduler that decides, from a seed, who may take the next step. Actors do real work between their steps; whatever
// touches what they share waits here until its turn has come.
import type { Seeded } from '../support/seeded.ts'

/** Thrown into nothing: an actor that died is never heard of again. */
interface Turn {
  readonly what: string
  /** By the common clock, in milliseconds; a sleep ends no earlier. */
  readonly at: number
  readonly background: boolean
  readonly go: () => void
  readonly stop: () => void
}

export interface Actor {
  readonly name: string
  turns: Turn[]
  /** Questions under way whose answer others work on. */
  parked: number
  state: 'alive' | 'dead' | 'done'
  /** Takes no step before so many were taken: a machine asleep, a process stopped. */
  frozenUntil: number
}

/** What happens beside the actors: the control plane's own work, time, death. */
export interface Happening {
  readonly what: string
  readonly weight: number
  readonly act: () => void
}

const foregroundWeight = 60
/** A sleep in the background ends five minutes later for everybody: others then look frozen. */
const backgroundWeight = 2

export class Turns {
  readonly #seeded: Seeded
  readonly #actors: Actor[] = []
  #step = 0
  /** Milliseconds since the run began. */
  now = 0
  /** What happened, for the report of a failure. */
  readonly log: string[] = []

  constructor(seeded: Seeded) {
    this.#seeded = seeded
  }

  /** Start an actor; it takes its first step when its turn comes. */
  start(name: string, work: (actor: Actor) => Promise<void>): Actor {
    const actor: Actor = { name, turns: [], parked: 0, state: 'alive', frozenUntil: 0 }
    this.#actors.push(actor)
    void this.turn(actor, 'begin')
      .then(() => work(actor))
      .finally(() => {
        if (actor.state === 'alive') actor.state = 'done'
      })
    return actor
  }

  get living(): readonly Actor[] {
    return this.#actors.filter(({ state }) => state === 'alive')
  }

  /** Resolves when it is this actor's turn; never, if it dies before. */
  turn(actor: Actor, what: string, signal?: AbortSignal): Promise<void> {
    return this.#wait(actor, what, this.now, false, signal)
  }

  /** As a clock sleeps. A long sleep is one in the background: it says nothing about whether the actor is busy. */
  sleep(actor: Actor, ms: number, signal?: AbortSignal): Promise<void> {
    const background = ms >= 300_000 || ms === 30_000
    return this.#wait(actor, `sleep ${Math.round(ms)}`, this.now + ms, background, signal)
  }

  #wait(
    actor: Actor,
    what: string,
    at: number,
    background: boolean,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      if (actor.state !== 'alive') return
      if (signal?.aborted) return reject(signal.reason)
      const stop = () => {
        actor.turns = actor.turns.filter((other) => other !== turn)
        reject(signal?.reason)
      }
      const turn: Turn = {
        what,
        at,
        background,
        stop,
        go: () => {
          signal?.removeEventListener('abort', stop)
          actor.turns = actor.turns.filter((other) => other !== turn)
          this.now = Math.max(this.now, at)
          resolve()
        },
      }
      signal?.addEventListener('abort', stop, { once: true })
      actor.turns.push(turn)
    })
  }

  /** From now on nothing of what this actor does has an effect. */
  kill(actor: Actor): void {
    actor.state = 'dead'
    actor.turns = []
  }

  /** This actor takes no step for a while, and knows nothing of it. */
  freeze(actor: Actor, steps: number): void {
    actor.frozenUntil = this.#step + steps
  }

  /**
   * Step after step until every actor is done or dead. `happenings` is asked before each step for what else might
   * happen; `after` sees the world after each.
   */
  async run(happenings: () => Happening[], after: () => void, most = 5_000): Promise<void> {
    for (let step = 0; this.living.length > 0; step++) {
      this.#step++
      if (step >= most) throw new Error(`${most} steps, and no end`)
      await this.#settle()
      const choices = [...this.#choices(), ...happenings()]
      if (choices.length === 0) continue
      const total = choices.reduce((sum, { weight }) => sum + weight, 0)
      let at = this.#seeded.between(0, total - 1)
      const chosen = choices.find(({ weight }) => {
        at -= weight
        return at < 0
      })!
      this.log.push(chosen.what)
      chosen.act()
      after()
    }
  }

  #choices(): Happening[] {
    const awake = this.living.filter(({ frozenUntil }) => frozenUntil <= this.#step)
    return (awake.length > 0 ? awake : this.living).flatMap((actor) => {
      const own: Happening[] = []
      const foreground = actor.turns.find(({ background }) => !background)
      const background = actor.turns.find((turn) => turn.background)
      for (const [turn, weight] of [
        [foreground, foregroundWeight],
        [background, backgroundWeight],
      ] as const) {
        if (turn === undefined) continue
        own.push({ what: `${actor.name}: ${turn.what}`, weight, act: turn.go })
      }
      return own
    })
  }

  /** Until every living actor waits for its turn or for an answer. */
  async #settle(): Promise<void> {
    const busy = () =>
      this.living.some(
        ({ turns, parked }) => parked === 0 && turns.every((turn) => turn.background),
      )
    // A turn that was given takes effect a few ticks later.
    for (let tick = 0; tick < 2; tick++) await new Promise((resolve) => setImmediate(resolve))
    const begun = performance.now()
    while (busy()) {
      await new Promise((resolve) => setImmediate(resolve))
      if (performance.now() - begun > 20_000) throw new Error('an actor is stuck')
    }
  }
}
