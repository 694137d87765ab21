// The one line out of the host: kept up for as long as the agent runs, whatever happens to sockets.
import type { Clock, Duration, Random } from '../../shared/clock.ts'
import { MINUTE, SECOND } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type { Log } from '../log/log.ts'
import { describeError } from '../log/scrub.ts'
import type { Network } from '../storage/dispatcher.ts'
import { RejectedError, type Self } from './greeting.ts'
import type { PlaneHttp } from './http-client.ts'
import type { Command, LineEvents, Way } from './line.ts'
import { talkByPolling } from './long-poll.ts'
import { createRedial } from './redial.ts'
import type { Session } from './session.ts'
import { talkOverSocket } from './socket.ts'

/** Failed upgrades after which the same frames are polled for over HTTPS. */
const UPGRADES = 3
/** How long is polled before a socket is tried again. */
const POLLING: Duration = 10 * MINUTE
/** A line that lived this long was a good one: the next redial starts with the first window. */
const GOOD_LINE: Duration = MINUTE
/** Wait after a plain no (removed host, two machines with one key): trying often changes nothing. */
const AFTER_REJECT: Duration = 60 * SECOND

export interface ConnectionState {
  readonly connected: boolean
  readonly way: Way | undefined
  /** Why there is no line: the last failure in one sentence. */
  readonly problem: string | undefined
}

export interface Connection {
  /** Keep the line up until `signal` is aborted; resolves then. */
  run(signal: AbortSignal): Promise<void>
  readonly state: ConnectionState
}

export function createConnection(deps: {
  self: Self
  network: Network
  http: PlaneHttp
  session: Session
  clock: Clock
  random: Random
  log: Log
  /** A command arrived. Must not throw. */
  onCommand: (command: Command) => void
  /** A line was welcomed: what waited for one may go now. */
  onWelcome: () => void
}): Connection {
  const { self, network, http, session, clock, random, log } = deps
  const redial = createRedial({ clock, random })
  let state: ConnectionState = { connected: false, way: undefined, problem: undefined }
  let hangUp = new AbortController()
  session.onDrop(() =>
    hangUp.abort(new HoldfastError('unauthenticated', 'the session was dropped')),
  )

  const events: LineEvents = {
    welcome(frame, way) {
      session.set(frame.session, frame.sessionSeconds)
      if (!state.connected) log.info('connected', { way, protocol: frame.protocol })
      state = { connected: true, way, problem: undefined }
      deps.onWelcome()
    },
    session: (frame) => session.set(frame.session, frame.sessionSeconds),
    frame: deps.onCommand,
    renewAt: () => session.halfLife,
  }

  async function talk(way: Way, signal: AbortSignal): Promise<void> {
    if (way === 'socket') return talkOverSocket({ self, network, clock, events, signal })
    return talkByPolling({ self, http, clock, events, lasting: POLLING, signal })
  }

  return {
    get state() {
      return state
    },
    async run(signal) {
      let failedUpgrades = 0
      let way: Way = 'socket'
      let atLeast = 0
      while (!signal.aborted) {
        await redial.wait(signal, atLeast).catch(() => {})
        if (signal.aborted) return
        atLeast = 0
        hangUp = new AbortController()
        const began = clock.monotonic()
        let problem: string | undefined
        try {
          await talk(way, AbortSignal.any([signal, hangUp.signal]))
        } catch (error) {
          if (signal.aborted) break
          problem = describeError(error)
          if (error instanceof RejectedError) {
            atLeast = (error.retryAfterSeconds ?? AFTER_REJECT / SECOND) * SECOND
          }
        }
        const welcomed = state.connected
        if (welcomed && clock.monotonic() - began >= GOOD_LINE) redial.reset()
        if (welcomed) log.info('the line ended', { way, error: problem })
        else log.warn('the control plane did not let us in', { way, error: problem })
        state = { connected: false, way: undefined, problem: problem ?? 'the line ended' }
        // A socket that never came up counts; after three of them we poll, and try a socket between two polls.
        if (way === 'socket') failedUpgrades = welcomed || atLeast > 0 ? 0 : failedUpgrades + 1
        way = failedUpgrades >= UPGRADES && way === 'socket' ? 'poll' : 'socket'
      }
      state = { connected: false, way: undefined, problem: 'the agent is stopping' }
    },
  }
}
