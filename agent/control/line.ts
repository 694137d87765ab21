// What both ways of talking, socket and long poll, report to the connection.
import type { Instant } from '../../shared/clock.ts'
import type { FromControl } from '../../shared/protocol/from-control.ts'
import type { Welcome } from '../../shared/protocol/hello.ts'

export type Way = 'socket' | 'poll'

/** Frames that ask the agent to do something. */
export type Command = Extract<FromControl, { type: 'run' | 'cancel' | 'limits' | 'refresh' }>

export interface LineEvents {
  welcome(welcome: Welcome, way: Way): void
  session(frame: Extract<FromControl, { type: 'session' }>): void
  frame(command: Command): void
  /** When, by the monotonic clock, the session should be renewed. */
  renewAt(): Instant | undefined
}
