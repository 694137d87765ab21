// Waiting for a job: a bar on a terminal, plain lines in a pipe.
import { setTimeout as delay } from 'node:timers/promises'
import { Presets, SingleBar } from 'cli-progress'
import type { Progress } from '../../shared/backup/job.ts'
import type { Outcome, Reason } from '../../shared/backup/outcome.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { formatBytes } from './output.ts'

/** What waiting needs to know of a job. */
export interface WatchedJob {
  readonly id: string
  readonly kind: string
  readonly state: 'queued' | 'running' | 'finished'
  readonly attempt: number
  readonly progress: Progress | null
  readonly outcome: Outcome | null
  readonly reason: Reason | null
  readonly message: string | null
}

/** Time between two looks, in ms: quick for a person, light for the control plane. */
const LOOK_EVERY = 500

/** Time between two plain lines when nothing else changes, in ms. */
const LINE_EVERY = 10_000

/** A control plane that restarts is back within seconds; one that stays away this long needs a person. In ms. */
const AWAY_PATIENCE = 60_000

export interface Watcher {
  show(job: WatchedJob): void
  end(): void
}

/**
 * Looks at the job until it is finished, showing each state. Aborting the signal leaves the job running. The job
 * outlives a restart of the control plane, so the waiting does too: for a minute.
 */
export async function waitForJob<J extends WatchedJob>(
  look: () => Promise<J>,
  watcher: Watcher,
  signal: AbortSignal,
  patience = AWAY_PATIENCE,
): Promise<J> {
  let seen = performance.now()
  try {
    for (;;) {
      const job = await look().catch((error: unknown) => {
        const away = error instanceof HoldfastError && error.code === 'plane-unavailable'
        if (!away || performance.now() - seen > patience) throw error
        return undefined
      })
      if (job !== undefined) {
        seen = performance.now()
        watcher.show(job)
        if (job.state === 'finished') return job
      }
      await delay(LOOK_EVERY, undefined, { signal })
    }
  } finally {
    watcher.end()
  }
}

/** A progress bar for a terminal. */
export function barWatcher(stream: NodeJS.WriteStream): Watcher {
  const bar = new SingleBar(
    {
      format: '{label} {bar} {amount}',
      barsize: 30,
      hideCursor: true,
      clearOnComplete: true,
      stream,
    },
    Presets.rect,
  )
  let begun = false
  return {
    show(job) {
      if (job.state === 'finished') return
      const { total, value, label, amount } = describe(job)
      if (!begun) {
        bar.start(total, value, { label, amount })
        begun = true
      }
      bar.setTotal(total)
      bar.update(value, { label, amount })
    },
    end() {
      if (begun) bar.stop()
    },
  }
}

/** A line for each change of phase, and one every ten seconds. */
export function lineWatcher(print: (line: string) => void, now: () => number): Watcher {
  let last = ''
  let lastAt = Number.NEGATIVE_INFINITY
  return {
    show(job) {
      if (job.state === 'finished') return
      const { label, amount } = describe(job)
      if (label === last && now() - lastAt < LINE_EVERY) return
      last = label
      lastAt = now()
      print(`${label} ${amount}`.trimEnd())
    },
    end() {},
  }
}

/** Shows nothing: for programs, which read the final object. */
export const silentWatcher: Watcher = { show() {}, end() {} }

function describe(job: WatchedJob): {
  total: number
  value: number
  label: string
  amount: string
} {
  const again = job.attempt > 1 ? ` (attempt ${job.attempt})` : ''
  if (job.state === 'queued')
    return { total: 1, value: 0, label: `waiting for the host${again}`, amount: '' }
  const progress = job.progress
  if (progress === null) return { total: 1, value: 0, label: `starting${again}`, amount: '' }
  const total = progress.bytesTotal ?? progress.filesTotal ?? 1
  const value =
    progress.bytesTotal === undefined && progress.filesTotal !== undefined
      ? progress.files
      : progress.bytes
  const files =
    progress.filesTotal === undefined
      ? `${progress.files}`
      : `${progress.files}/${progress.filesTotal}`
  const bytes =
    progress.bytesTotal === undefined
      ? formatBytes(progress.bytes)
      : `${formatBytes(progress.bytes)}/${formatBytes(progress.bytesTotal)}`
  return {
    total: Math.max(total, 1),
    value: Math.min(value, Math.max(total, 1)),
    label: `${progress.phase}${again}`,
    amount: `${files} files, ${bytes}`,
  }
}
