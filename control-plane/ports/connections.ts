// Open sockets of agents. A socket is an optimisation: what it carries can always be read again from
// the database, so `send` may lose a frame and nothing is lost.
import type { FromControl } from '../../shared/protocol/from-control.ts'

export interface Connections {
  /** True if a socket or a waiting poll of that host took the frame. */
  send(host: string, frame: FromControl): Promise<boolean>
  /** Ends every connection of that host. */
  close(host: string, reason: string): Promise<void>
  /** Is there a live connection right now? Presence only; liveness is the `alive` event. */
  connected(host: string): boolean
}
