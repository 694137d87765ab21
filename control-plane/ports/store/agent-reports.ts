// What agents tell outside of jobs, each event taken once, and the sealed pages of browse jobs.
import type { Inventory } from '../../../shared/backup/inventory.ts'
import type { Instant } from '../../../shared/clock.ts'
import type { Trace } from './trace.ts'

export interface EventPosition {
  readonly host: string
  /** The boot that made the event. */
  readonly boot: string
  readonly seq: number
  readonly at: Instant
}

export interface FoundSource {
  readonly source: string
  readonly kind: 'volume' | 'directory'
  readonly name: string
  /** JSON of what the inventory says of it. */
  readonly details: string
}

export interface AgentReportsStore {
  /** The newest event taken of that boot, 0 for none. */
  last(host: string, boot: string): Promise<number>
  /** The host lives. Without a trace when it was not silent: liveness leaves no event. False: taken before. */
  alive(
    position: EventPosition,
    freeStateBytes: number | null,
    trace: Trace | undefined,
  ): Promise<boolean>
  /** Sources known of a host and not gone. */
  presentSources(host: string): Promise<string[]>
  /** The inventory, whole: sources not in `found` are gone. `trace` is left out when no source came or went. */
  inventory(
    position: EventPosition,
    inventory: Inventory,
    found: readonly FoundSource[],
    trace: Trace | undefined,
  ): Promise<boolean>
  notice(position: EventPosition, trace: Trace): Promise<boolean>
  /** Keeps a page; the same page again changes nothing. Liveness of a browse job: leaves no event. */
  addPage(page: {
    readonly job: string
    readonly page: number
    readonly last: boolean
    readonly bytes: string
    readonly at: Instant
  }): Promise<void>
  /** Characters of base64 kept for a job. */
  pageBytes(job: string): Promise<number>
}
