// The ends of connected agents, as this room needs them. Each runtime keeps them in its own way.
import type { FromControl } from '../../shared/protocol/from-control.ts'

/** One open connection. */
export interface Line {
  /** Hands the frame to the network; it may still be lost. */
  send(frame: FromControl): void
  close(code: number, reason: string): void
}

export interface Lines {
  /** This line now speaks for the host; an older one of the host is closed. Returns how to take it out. */
  attach(host: string, line: Line): () => void
  /** Frames for a host that polls: as soon as there is one, or none after `ms` or when `signal` aborts. */
  wait(host: string, ms: number, signal: AbortSignal): Promise<FromControl[]>
}
