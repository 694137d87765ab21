// The mover: a child process that carries out one batch of jobs and exits. It has no socket and no token; stdin and
// stdout are the hatch to the supervisor, and nothing else may write there.
import { readFileSync } from 'node:fs'
import { exitCodes } from '../ipc/exit-codes.ts'
import type { PreparedJob, Start } from '../ipc/messages.ts'
import { dispatcherFor } from '../storage/dispatcher.ts'
import { createPresignedStore } from '../storage/presigned.ts'
import { createTokenBucket } from '../storage/token-bucket.ts'
import type { Batch, Job, MoverLog } from './batch.ts'
import { HatchError, type OpenHatch, OrphanedError, openHatch } from './hatch.ts'
import { JobCancelled } from './job-failure.ts'
import { createLease, type Lease } from './lease.ts'
import { createLiveLimits, type LiveLimits, setOwnPriority } from './live-limits.ts'
import { planNow } from './memory-plan.ts'
import { createPlane } from './plane.ts'
import { createReporter } from './reporter.ts'
import { runBatch } from './run-batch.ts'
import { createSmallCache } from './small-cache.ts'
import { createSpeaking } from './speaking.ts'
import { systemChance, systemClock } from './system-clock.ts'

/** Frames of a stack that go to the supervisor's log: where it broke, without what was in it. */
const framesTold = 4

/** Says what kind of fault it was. Its text stays out: it may hold a path. */
function describe(error: unknown): { error: string } {
  if (!(error instanceof Error)) return { error: typeof error }
  const frames = (error.stack ?? '')
    .split('\n')
    .filter((line) => line.startsWith('    at '))
    .slice(0, framesTold)
    .map((line) => line.trim().replace(/\(?(?:file:\/\/)?\/.*\/(agent|shared)\//, '$1/'))
  return { error: [error.name, ...frames].join(' ').slice(0, 500) }
}

function programName(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return `holdfast ${(JSON.parse(text) as { version: string }).version}`
}

/** Cancelling by job, before and after the batch is known. */
function createCancels() {
  const controllers = new Map<string, AbortController>()
  const controllerOf = (job: string): AbortController => {
    const known = controllers.get(job) ?? new AbortController()
    controllers.set(job, known)
    return known
  }
  return {
    cancel: (job: string, reason: Error = new JobCancelled()) => controllerOf(job).abort(reason),
    signalOf: (job: string) => controllerOf(job).signal,
  }
}
type Cancels = ReturnType<typeof createCancels>

async function carryOut(
  start: Start,
  opened: OpenHatch,
  lease: Lease,
  limits: LiveLimits,
  cancels: Cancels,
  log: MoverLog,
  signal: AbortSignal,
): Promise<void> {
  const clock = systemClock
  const random = systemChance
  const { hatch } = opened
  const plane = createPlane({ hatch, lease, clock, random })
  const reporter = createReporter((message) => hatch.tell(message), clock)
  const jobs = start.jobs.map((assigned): Job => {
    const { id, attempt, fence } = assigned
    const prepared: PreparedJob = start.prepared.find((one) => one.job === id) ?? {
      job: id,
      idShift: 0,
    }
    const begunAt = clock.monotonic()
    return {
      assigned,
      prepared,
      attempt: { job: id, attempt, fence },
      signal: AbortSignal.any([cancels.signalOf(id), signal]),
      begunAt: () => begunAt,
    }
  })
  const speaking = createSpeaking({
    plane,
    lease,
    signal,
    others: () =>
      jobs
        .filter((job) => !reporter.isDone(job.assigned.id) && !job.signal.aborted)
        .map((job) => job.attempt),
    onGone: (attempt, refusal) => cancels.cancel(attempt.job, refusal),
  })
  const up = createTokenBucket(clock)
  const down = createTokenBucket(clock)
  limits.follow(({ upload, download }) => {
    up.setRate(upload)
    down.setRate(download)
  })
  const batch: Batch = {
    start,
    plane,
    limits,
    store: createPresignedStore({
      grants: speaking.grants,
      agentFor: (url) => dispatcherFor(url, start.network),
      clock,
      random,
      signal,
      mayBegin: (stop) => lease.whenHeld(stop),
      pace: { up, down },
      uploadsAtMost: () => planNow(limits.now).uploads,
      md5: start.repository.md5 === true,
    }),
    speak: speaking.speak,
    cache: createSmallCache(start.paths.cache, random),
    reporter,
    clock,
    random,
    bytes: (length) => Buffer.from(random.bytes(length)),
    log,
    signal,
    program: programName(),
  }
  await runBatch(batch, jobs)
}

/** The supervisor started us with the first ones; from then on we change them ourselves, thread by thread. */
function keepPriority(limits: LiveLimits, log: MoverLog): void {
  let { nice, io } = limits.now
  limits.follow((next) => {
    if (next.nice === nice && next.io === io) return
    ;({ nice, io } = next)
    if (!setOwnPriority(next)) {
      log(
        'warn',
        'A priority may be lowered here but not raised again; the next mover has the new one',
      )
    }
  })
}

async function main(): Promise<number> {
  const lease = createLease()
  const limits = createLiveLimits({})
  const cancels = createCancels()
  const opened = openHatch(
    { input: process.stdin, output: process.stdout },
    {
      onCancel: (jobs) => {
        for (const job of jobs) cancels.cancel(job)
      },
      onLease: (held) => lease.set(held),
      onLimits: (next) => limits.set(next),
    },
  )
  const log: MoverLog = (level, message, fields = {}) => {
    // A line that cannot be written means that the supervisor is gone, which ends the batch below.
    opened.hatch.tell({ type: 'log', level, message, fields }).catch(() => {})
  }
  const fault = (error: unknown): void => {
    log('error', 'A fault of the mover; jobs without an end are lost', describe(error))
  }
  const stop = new AbortController()
  process.on('uncaughtException', (error) => {
    fault(error)
    // Whatever state this left, no further word of ours can be trusted; the line above gets its moment.
    setTimeout(() => process.exit(exitCodes.internal), 50)
  })

  let start: Start
  try {
    start = await opened.start
  } catch (error) {
    return error instanceof HatchError ? exitCodes.usage : exitCodes.orphaned
  }
  // From here on the end of stdin is the end of this process: nobody would carry our asks.
  opened.closed.then(
    () => stop.abort(new OrphanedError()),
    (error) => stop.abort(error),
  )
  stop.signal.addEventListener('abort', () => {
    const orphaned = stop.signal.reason instanceof OrphanedError
    if (!orphaned) fault(stop.signal.reason)
    setTimeout(() => process.exit(orphaned ? exitCodes.orphaned : exitCodes.internal), 50)
  })
  try {
    limits.set(start.limits ?? {})
    keepPriority(limits, log)
    await carryOut(start, opened, lease, limits, cancels, log, stop.signal)
    return exitCodes.finished
  } catch (error) {
    if (!stop.signal.aborted) fault(error)
    return stop.signal.reason instanceof OrphanedError ? exitCodes.orphaned : exitCodes.internal
  }
}

const code = await main()
// Sockets kept for reuse and an open stdin would hold the process; what was written is flushed first.
process.stdout.write('', () => process.exit(code))
