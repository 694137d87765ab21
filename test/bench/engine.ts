// One run of our engine as a process of its own: the mover's jobs over a repository in a directory, no network between.
//
//   node test/bench/engine.ts <order file>
//
// It carries out what a mover carries out (lock, cache, index, archive, packs, snapshot; restore; check), with the
// mover's own code, and prints one line: how the jobs ended, and the snapshot that was made.
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { PreparedJob, Start } from '../../agent/ipc/messages.ts'
import type { Batch, Job } from '../../agent/mover/batch.ts'
import { createLiveLimits } from '../../agent/mover/live-limits.ts'
import { createReporter, type JobEnd } from '../../agent/mover/reporter.ts'
import { runBatch } from '../../agent/mover/run-batch.ts'
import { createSmallCache } from '../../agent/mover/small-cache.ts'
import { systemChance, systemClock } from '../../agent/mover/system-clock.ts'
import { createDirectories, createDirectoryStore } from '../../agent/storage/directory.ts'
import type { JobParameters } from '../../shared/backup/job.ts'
import { createLocalPlane } from './local-plane.ts'
import { backupStream } from './stream.ts'

const STDIN = 0

/** What one run is to do. */
export interface Order {
  /** Directory of the repository. */
  readonly repository: string
  readonly password: string
  /** An age recipient: a mover without one makes no backups. */
  readonly recipient: string
  readonly paths: { readonly cache: string; readonly work: string }
  readonly job: string
  /** What a mover is asked; or a stream on stdin, kept as one file. */
  readonly parameters: JobParameters | { readonly kind: 'stream'; readonly name: string }
  /** Where to read from, or restore to. */
  readonly path?: string
}

/** The line it prints. */
export interface Result {
  readonly end: Partial<JobEnd>
  readonly snapshot?: string
  /** Warnings of the mover. */
  readonly logs: readonly string[]
}

async function carryOut(order: Order): Promise<Result> {
  const directory = order.repository
  const options = { directory, temporaryName: () => randomBytes(8).toString('hex') }
  const { parameters } = order
  // As `restic init` does, and outside what is measured.
  if (parameters.kind === 'init') await createDirectories(options)
  const store = createDirectoryStore({ ...options, trusted: true })
  const logs: string[] = []
  let snapshot: string | undefined
  let end: Partial<JobEnd> = {}
  const plane = createLocalPlane(store, (id) => {
    snapshot = id
  })
  const stop = new AbortController()
  const prepared: PreparedJob = { job: order.job, idShift: 0, path: order.path }
  const start: Start = {
    type: 'start',
    batch: order.job,
    host: order.job,
    repository: { id: order.job, hostname: 'bench', epoch: 0, ready: true, foreign: false },
    jobs: [],
    prepared: [prepared],
    password: order.password,
    recoveryRecipient: order.recipient,
    recipient: order.recipient,
    paths: order.paths,
    network: {},
  }
  const batch: Batch = {
    limits: createLiveLimits({}),
    start,
    plane,
    store: {
      put: (key, sha256, bytes) => store.put(key, sha256, bytes),
      get: (key, range) => store.get(key, range),
    },
    speak: () => {},
    cache: createSmallCache(order.paths.cache, systemChance),
    reporter: createReporter(async (message) => {
      if (message.type === 'done') end = message
    }, systemClock),
    clock: systemClock,
    random: systemChance,
    bytes: (length) => randomBytes(length),
    log: (_level, message, fields) => logs.push(`${message} ${JSON.stringify(fields ?? {})}`),
    signal: stop.signal,
    program: 'holdfast bench',
  }
  const attempt = { job: order.job, attempt: 1, fence: 1 }
  if (parameters.kind === 'stream') {
    end = await backupStream(batch, attempt, parameters.name, STDIN)
  } else {
    const begun = systemClock.monotonic()
    const job: Job = {
      assigned: { id: order.job, attempt: 1, fence: 1, parameters },
      prepared,
      attempt,
      signal: stop.signal,
      begunAt: () => begun,
    }
    await runBatch(batch, [job])
  }
  return { end, logs, ...(snapshot === undefined ? {} : { snapshot }) }
}

const result = await carryOut(JSON.parse(readFileSync(process.argv[2]!, 'utf8')) as Order)
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
