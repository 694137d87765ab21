// What the supervisor must still know after a crash: which attempts it began, what it stopped or made for
// them, and which reports the control plane has not confirmed.
import * as z from 'zod'
import { jobKind } from '../../shared/backup/job.ts'
import { id } from '../../shared/ids.ts'
import { type FinishRequest, finishRequest } from '../../shared/protocol/calls.ts'
import { AppendLog } from '../state/append-log.ts'
import type { Reserve } from '../state/reserve.ts'

/** Finished batches whose reports are kept, in case the control plane asks for one again. */
const KEPT_BATCHES = 50
/** Made targets that are remembered, so that a later attempt of the same job may fill them. */
const KEPT_TARGETS = 500
/** The file is written anew when it has grown to this many bytes. */
const COMPACT_BYTES = 4 * 2 ** 20

const journalJob = z.object({
  job: id,
  attempt: z.int().min(1),
  fence: z.int().min(1),
  kind: jobKind,
})
export type JournalJob = z.infer<typeof journalJob>

const stopped = z.object({ id: z.string(), name: z.string(), wasPaused: z.boolean() })
const exchange = z.object({
  job: id,
  /** The folder the new tree is built in; after the exchange it holds the old one. */
  beside: z.string(),
  /** The folder it is exchanged with, and that folder's inode before. */
  target: z.string(),
  inode: z.string(),
  keepHours: z.int().min(0),
})
export type Exchange = z.infer<typeof exchange>

const record = z.discriminatedUnion('t', [
  z.object({ t: z.literal('accepted'), batch: id, jobs: z.array(journalJob) }),
  z.object({ t: z.literal('mover'), batch: id, pid: z.int(), started: z.string() }),
  z.object({ t: z.literal('stopping'), batch: id, job: id, container: stopped }),
  z.object({ t: z.literal('restarted'), container: z.string() }),
  z.object({ t: z.literal('made'), job: id, target: z.string() }),
  z.object({ t: z.literal('exchange'), exchange }),
  z.object({ t: z.literal('exchanged'), job: id }),
  z.object({ t: z.literal('kept'), path: z.string(), until: z.number() }),
  z.object({ t: z.literal('removed'), path: z.string() }),
  z.object({ t: z.literal('finish'), batch: id, request: finishRequest }),
  z.object({ t: z.literal('acknowledged'), batch: id, job: id, attempt: z.int() }),
  z.object({ t: z.literal('closed'), batch: id }),
])
type JournalRecord = z.infer<typeof record>

export interface Report {
  readonly batch: string
  readonly request: FinishRequest
  acknowledged: boolean
}

export interface JournalBatch {
  readonly batch: string
  readonly jobs: readonly JournalJob[]
  mover: { pid: number; started: string } | undefined
  closed: boolean
  readonly reports: Report[]
}

export type StoppedEntry = {
  readonly batch: string
  readonly job: string
  readonly container: z.infer<typeof stopped>
}

/** Each method that changes something is durable when it returns. */
export interface Journal {
  readonly batches: ReadonlyMap<string, JournalBatch>
  accept(batch: string, jobs: readonly JournalJob[]): void
  moverStarted(batch: string, mover: { pid: number; started: string }): void
  /** Said before the container is stopped. */
  stopping(batch: string, job: string, container: z.infer<typeof stopped>): void
  /** Said after it runs again (or is known to be gone). */
  restarted(container: string): void
  readonly stopped: readonly StoppedEntry[]
  /** Said before a volume or directory is made for a job. */
  making(job: string, target: string): void
  wasMadeFor(job: string, target: string): boolean
  /** Said before a mover may exchange two folders; `exchanged` once it is known how that ended. */
  exchanging(exchange: Exchange): void
  readonly exchanges: readonly Exchange[]
  exchanged(job: string): void
  /** An old tree that may be removed at `until` (wall time). */
  keep(path: string, until: number): void
  readonly kept: readonly { path: string; until: number }[]
  removed(path: string): void
  /** The job's outcome: from here on it is what the control plane will be told. */
  finish(batch: string, request: FinishRequest): void
  acknowledge(report: Report): void
  /** Nothing of this batch is left to do. */
  close(batch: string): void
  readonly unsent: readonly Report[]
  end(): void
}

export function openJournal(deps: { path: string; reserve: Reserve }): {
  journal: Journal
  torn: number
} {
  const { log, records, torn } = AppendLog.open(deps.path, deps.reserve)
  const batches = new Map<string, JournalBatch>()
  let stoppedEntries: StoppedEntry[] = []
  let made: { job: string; target: string }[] = []
  let exchanges: Exchange[] = []
  let kept: { path: string; until: number }[] = []

  function apply(r: JournalRecord): void {
    const batch = 'batch' in r ? batches.get(r.batch) : undefined
    switch (r.t) {
      case 'accepted':
        batches.set(r.batch, {
          batch: r.batch,
          jobs: r.jobs,
          mover: undefined,
          closed: false,
          reports: [],
        })
        break
      case 'mover':
        if (batch) batch.mover = { pid: r.pid, started: r.started }
        break
      case 'stopping':
        stoppedEntries.push({ batch: r.batch, job: r.job, container: r.container })
        break
      case 'restarted':
        stoppedEntries = stoppedEntries.filter((entry) => entry.container.id !== r.container)
        break
      case 'made':
        made = [...made, { job: r.job, target: r.target }].slice(-KEPT_TARGETS)
        break
      case 'exchange':
        exchanges = [...exchanges.filter((e) => e.job !== r.exchange.job), r.exchange]
        break
      case 'exchanged':
        exchanges = exchanges.filter((e) => e.job !== r.job)
        break
      case 'kept':
        kept = [...kept.filter((k) => k.path !== r.path), { path: r.path, until: r.until }]
        break
      case 'removed':
        kept = kept.filter((k) => k.path !== r.path)
        break
      case 'finish':
        batch?.reports.push({ batch: r.batch, request: r.request, acknowledged: false })
        break
      case 'acknowledged':
        for (const report of batch?.reports ?? []) {
          const { job, attempt } = report.request
          if (job === r.job && attempt === r.attempt) report.acknowledged = true
        }
        break
      case 'closed':
        if (batch) batch.closed = true
        break
    }
  }

  /** The fewest records that say the same. */
  function condensed(): JournalRecord[] {
    const all = [...batches.values()]
    const done = all.filter((b) => b.closed && b.reports.every((r) => r.acknowledged))
    for (const old of done.slice(0, -KEPT_BATCHES)) batches.delete(old.batch)
    const out: JournalRecord[] = []
    for (const { batch, jobs, mover, closed, reports } of batches.values()) {
      out.push({ t: 'accepted', batch, jobs: [...jobs] })
      if (mover !== undefined) out.push({ t: 'mover', batch, ...mover })
      for (const { request, acknowledged } of reports) {
        out.push({ t: 'finish', batch, request })
        const { job, attempt } = request
        if (acknowledged) out.push({ t: 'acknowledged', batch, job, attempt })
      }
      if (closed) out.push({ t: 'closed', batch })
    }
    for (const entry of stoppedEntries) out.push({ t: 'stopping', ...entry })
    for (const entry of made) out.push({ t: 'made', ...entry })
    for (const entry of exchanges) out.push({ t: 'exchange', exchange: entry })
    for (const entry of kept) out.push({ t: 'kept', ...entry })
    return out
  }

  function write(r: JournalRecord): void {
    log.append(r)
    apply(r)
    if (log.length > COMPACT_BYTES && r.t === 'closed') log.rewrite(condensed())
  }

  for (const value of records) {
    const parsed = record.safeParse(value)
    if (parsed.success) apply(parsed.data) // a kind of record this version does not know says nothing to it
  }
  log.rewrite(condensed())

  const journal: Journal = {
    batches,
    accept: (batch, jobs) => write({ t: 'accepted', batch, jobs: [...jobs] }),
    moverStarted: (batch, mover) => write({ t: 'mover', batch, ...mover }),
    stopping: (batch, job, container) => write({ t: 'stopping', batch, job, container }),
    restarted: (container) => write({ t: 'restarted', container }),
    get stopped() {
      return stoppedEntries
    },
    making: (job, target) => write({ t: 'made', job, target }),
    wasMadeFor: (job, target) => made.some((m) => m.job === job && m.target === target),
    exchanging: (entry) => write({ t: 'exchange', exchange: entry }),
    get exchanges() {
      return exchanges
    },
    exchanged: (job) => write({ t: 'exchanged', job }),
    keep: (path, until) => write({ t: 'kept', path, until }),
    get kept() {
      return kept
    },
    removed: (path) => write({ t: 'removed', path }),
    finish: (batch, request) => write({ t: 'finish', batch, request }),
    acknowledge({ batch, request: { job, attempt } }) {
      write({ t: 'acknowledged', batch, job, attempt })
    },
    close: (batch) => write({ t: 'closed', batch }),
    get unsent() {
      return [...batches.values()].flatMap((b) => b.reports.filter((r) => !r.acknowledged))
    },
    end: () => log.close(),
  }
  return { journal, torn }
}
