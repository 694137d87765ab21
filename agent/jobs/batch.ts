// One batch from its acceptance to its last outcome: lease, place, preparation, mover, reports.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Limits, strictest } from '../../shared/backup/limits.ts'
import type { Reason } from '../../shared/backup/outcome.ts'
import { type Duration, type Random, SECOND } from '../../shared/clock.ts'
import type { AssignedJob, Run } from '../../shared/protocol/from-control.ts'
import type { FromMover, Start } from '../ipc/messages.ts'
import { type LogFields, logFields } from '../log/log.ts'
import { describeError } from '../log/scrub.ts'
import { isDiskFull } from '../state/reserve.ts'
import { type Ending, endOfDeath, finishOf } from './finish-of.ts'
import { JobRefusal } from './job-refusal.ts'
import { createLeaseKeeper } from './lease-keeper.ts'
import { type MemoryBound, makeMemoryBound } from './memory-bound.ts'
import { type MoverEnd, type MoverProcess, startMover } from './mover-process.ts'
import { readOrMakePassword, readPassword } from './passwords.ts'
import type { Plane } from './plane.ts'
import { type PrepareDeps, prepareJob, type ReadyJob } from './prepare.ts'
import type { Reports } from './reports.ts'
import { serveAsk } from './serve-ask.ts'
import type { Slots } from './slots.ts'

/** A mover that was told to cancel all its jobs releases its lock and ends within this, or is killed. */
const CANCEL_PATIENCE: Duration = 60 * SECOND
/** After its last `done` a mover releases its lock and ends within this, or is killed. */
const END_PATIENCE: Duration = 120 * SECOND

export interface BatchDeps extends PrepareDeps {
  readonly plane: Plane
  readonly reports: Reports
  readonly slots: Slots
  readonly random: Random
  readonly sign: (bytes: Uint8Array) => string
  readonly moverFile: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly network: Start['network']
  readonly paths: { password: string; cache: string; work: string }
}

export interface RunningBatch {
  /** Resolves when nothing of it is left to do but sending reports. */
  readonly finished: Promise<void>
  cancel(jobs: readonly string[]): void
  /** What its policies allow from now on. */
  limit(limits: Limits): void
  /** The agent is stopping: end the mover now; its jobs are reported at the next start. */
  abandon(): void
}

export function runBatch(deps: BatchDeps, run: Run): RunningBatch {
  const { journal, clock, log, plane } = deps
  const { batch } = run
  const stop = new AbortController()
  const open = new Map(run.jobs.map((job) => [job.id, job]))
  const ready = new Map<string, ReadyJob>()
  const cancelled = new Set<string>()
  let mover: MoverProcess | undefined
  let leaseHeld = true
  let abandoned = false
  /** For a place among the movers of this repository. */
  let waiting = true
  let limits = strictest(run.limits ?? {}, deps.rules.limits)
  let bound: MemoryBound | undefined

  const known = journal.batches.get(batch)?.jobs ?? []

  async function settle(job: string): Promise<void> {
    const done = ready.get(job)
    ready.delete(job)
    if (done === undefined) return
    try {
      await done.release()
      await done.settle()
    } catch (error) {
      // What is left over is in the journal or carries our label: the next start clears it up.
      log.error('what was prepared for a job could not be undone', {
        batch,
        job,
        error: describeError(error),
      })
    }
  }

  /** The job's end: written down, then told. Nothing after it changes the outcome. */
  async function end(job: AssignedJob, ending: Ending): Promise<void> {
    if (!open.delete(job.id)) return
    journal.finish(batch, finishOf(deps, batch, job, ending))
    // If we die here the next start sends the report, starts the containers and removes the holders.
    await settle(job.id)
    const { id, attempt, parameters } = job
    const { outcome, reason } = ending
    log.info('a job ended', { batch, job: id, attempt, kind: parameters.kind, outcome, reason })
    deps.reports.nudge()
  }

  /** Nobody wants to hear of these any more. */
  async function discard(jobs: readonly string[]): Promise<void> {
    const ours = jobs.filter((job) => open.delete(job))
    if (ours.length === 0) return
    log.warn('jobs were given to a newer attempt', { batch, jobs: ours.length })
    if (open.size === 0) {
      stop.abort(new Error('nothing is left of this batch'))
      mover?.kill()
      await mover?.ended
    } else await mover?.send({ type: 'cancel', jobs: ours }).catch(() => {})
    for (const job of ours) await settle(job)
  }

  function cancel(jobs: readonly string[]): void {
    const fresh = jobs.filter((job) => open.has(job) && !cancelled.has(job))
    for (const job of fresh) cancelled.add(job)
    if (waiting) void cancelWaiting(fresh)
    if (mover === undefined || fresh.length === 0) return
    void mover.send({ type: 'cancel', jobs: fresh }).catch(() => {})
    if ([...open.keys()].every((job) => cancelled.has(job))) killAfter(CANCEL_PATIENCE)
  }

  /** Where this cannot be, the mover's own plan has to do. */
  function setBound(): void {
    const pid = mover?.identity?.pid
    if (pid === undefined || (bound === undefined && limits.memory === undefined)) return
    bound ??= makeMemoryBound(batch, pid)
    const kept = bound?.limit(limits.memory) ?? true
    if (!kept) log.warn('the mover uses more memory than its new bound', { batch })
  }

  function limit(next: Limits): void {
    limits = strictest(next, deps.rules.limits)
    log.info('the limits of a batch changed', { batch })
    deps.slots.look()
    setBound()
    void mover?.send({ type: 'limits', limits }).catch(() => {})
  }

  /** Before anything was prepared there is nothing to wait for. */
  async function cancelWaiting(jobs: readonly string[]): Promise<void> {
    for (const id of jobs) {
      const job = open.get(id)
      if (job) await end(job, { outcome: 'cancelled', reason: 'cancelled-by-person' })
    }
    if (open.size === 0) stop.abort(new Error('nothing is left of this batch'))
  }

  /** Kill the mover if it is not gone in time. */
  function killAfter(patience: Duration): void {
    const victim = mover
    if (victim === undefined) return
    const gone = new AbortController()
    void victim.ended.then(() => gone.abort())
    clock.sleep(patience, gone.signal).then(
      () => {
        log.warn('the mover did not end in time and is killed', { batch })
        victim.kill()
      },
      () => {},
    )
  }

  const keeper = createLeaseKeeper({
    plane,
    batch,
    leaseSeconds: run.leaseSeconds,
    open: () => known.filter(({ job }) => open.has(job)),
    clock,
    random: deps.random,
    events: {
      held(now) {
        leaseHeld = now
        const message = now ? 'the lease is held again' : 'the lease ended; the mover waits'
        log.warn(message, { batch })
        void mover?.send({ type: 'lease', held: now }).catch(() => {})
      },
      cancel,
      gone: (jobs) => void discard(jobs),
    },
  })

  async function take(message: FromMover): Promise<void> {
    if (message.type === 'progress') return keeper.progress(message.job, message.progress)
    if (message.type === 'released') return ready.get(message.job)?.release()
    if (message.type === 'log') return relay(message)
    if (message.type === 'done') {
      const job = open.get(message.job)
      const { outcome, reason, message: text, counts, report } = message
      const more = { ...(counts ? { counts } : {}), ...(report ? { report } : {}) }
      if (job !== undefined) await end(job, { outcome, reason, message: text, ...more })
      if (open.size === 0) killAfter(END_PATIENCE)
      return
    }
    const answer = await serveAsk(
      {
        plane,
        batch,
        host: deps.host,
        sign: deps.sign,
        attemptOf: (job) => known.find((entry) => entry.job === job),
        stillThere: (job) => ready.get(job)?.stillThere() ?? true,
        mayExchange: async (job) => ready.get(job)?.mayExchange?.(),
        clock,
        random: deps.random,
        signal: stop.signal,
      },
      message,
    )
    await mover?.send(answer).catch(() => {}) // a mover that is gone needs no answer
  }

  /** Only fields of our own list pass, whatever the mover wrote. */
  function relay(line: Extract<FromMover, { type: 'log' }>): void {
    const fields: Record<string, string | number | boolean> = {}
    for (const name of logFields) {
      const value = line.fields[name]
      if (value !== undefined) fields[name] = value
    }
    log[line.level](line.message, { ...(fields as LogFields), batch })
  }

  async function prepareAll(): Promise<void> {
    for (const job of [...open.values()]) {
      if (!open.has(job.id)) continue
      if (cancelled.has(job.id)) {
        await end(job, { outcome: 'cancelled', reason: 'cancelled-by-person' })
        continue
      }
      try {
        ready.set(job.id, await prepareJob(deps, batch, job))
      } catch (error) {
        const refusal = error instanceof JobRefusal ? error : undefined
        if (refusal === undefined) {
          log.error('a job could not be prepared', {
            batch,
            job: job.id,
            error: describeError(error),
          })
        }
        await end(job, {
          outcome: 'failed',
          reason: refusal?.reason ?? 'internal-error',
          message:
            refusal?.message ?? 'the job could not be prepared; the log of the agent says why',
        })
      }
    }
  }

  /** The password that opens this batch's repository. */
  async function passwordFor(jobs: readonly AssignedJob[]): Promise<string> {
    if (run.repository.foreign) {
      const sealed = jobs.flatMap(({ parameters: p }) =>
        p.kind === 'restore' && p.sealedPassword !== undefined ? [p.sealedPassword] : [],
      )[0]
      if (sealed === undefined) {
        throw new JobRefusal(
          'wrong-password',
          'the recovery password of that repository was not sent',
        )
      }
      try {
        const key = await deps.hostKey()
        return Buffer.from(await key.open(sealed)).toString('utf8')
      } catch {
        throw new JobRefusal('wrong-password', 'the recovery password was not sealed to this host')
      }
    }
    const { password } = deps.paths
    if (jobs.some((job) => job.parameters.kind === 'init')) {
      return readOrMakePassword(password, deps.random)
    }
    const present = readPassword(password)
    if (present !== undefined) return present
    throw new JobRefusal(
      'wrong-password',
      'repository.password is missing from the state directory of the agent; put it back',
    )
  }

  async function startOf(jobs: readonly AssignedJob[]): Promise<Start> {
    const work = join(deps.paths.work, batch)
    const cache = join(deps.paths.cache, run.repository.id)
    mkdirSync(work, { recursive: true, mode: 0o700 })
    mkdirSync(cache, { recursive: true, mode: 0o700 })
    const { recovery } = deps.rules
    return {
      type: 'start',
      batch,
      host: deps.host,
      repository: run.repository,
      jobs: [...jobs],
      prepared: jobs.map((job) => ready.get(job.id)!.prepared),
      password: await passwordFor(jobs),
      ...(recovery === undefined ? {} : { recoveryRecipient: recovery }),
      recipient: (await deps.hostKey()).recipient,
      paths: { cache, work },
      limits,
      network: deps.network,
    }
  }

  /** How a job ended whose mover went without a word about it. */
  function endingOf(job: AssignedJob, end: MoverEnd): Ending {
    if (cancelled.has(job.id)) return { outcome: 'cancelled', reason: 'cancelled-by-person' }
    return endOfDeath(end, bound?.wasExceeded ?? false)
  }

  async function move(): Promise<void> {
    const jobs = [...open.values()]
    if (jobs.length === 0) return
    const start = await startOf(jobs)
    mover = await startMover(deps.moverFile, deps.environment, limits)
    if (mover.identity !== undefined) journal.moverStarted(batch, mover.identity)
    setBound()
    log.info('a mover began', { batch, jobs: jobs.length, pid: mover.identity?.pid })
    await mover.send(start).catch(() => {}) // it is gone: its end says so
    if (limits !== start.limits) await mover.send({ type: 'limits', limits }).catch(() => {})
    if (!leaseHeld) await mover.send({ type: 'lease', held: false }).catch(() => {})
    const late = [...cancelled].filter((job) => open.has(job))
    if (late.length > 0) await mover.send({ type: 'cancel', jobs: late }).catch(() => {})
    if (stop.signal.aborted) mover.kill()
    const pending = new Set<Promise<void>>()
    try {
      for await (const message of mover.messages()) {
        const taken = take(message).catch((error) => {
          log.error('a message of the mover could not be handled', {
            batch,
            error: describeError(error),
          })
        })
        pending.add(taken)
        void taken.finally(() => pending.delete(taken))
      }
    } catch (error) {
      log.error('the mover said something that is no message', {
        batch,
        error: describeError(error),
      })
      mover.kill()
    }
    const ended = await mover.ended
    stop.abort(new Error('the mover is gone'))
    await Promise.all(pending)
    const { code, signal, stderr } = ended
    const fields = { batch, exit: code ?? undefined, signal: signal ?? undefined }
    if (code === 0) log.info('the mover ended', fields)
    else log.warn('the mover ended', { ...fields, stderr: stderr || undefined })
    if (abandoned) return
    for (const job of [...open.values()]) await end(job, endingOf(job, ended))
  }

  async function carryOut(): Promise<void> {
    let give = () => {}
    try {
      const { kind } = run.jobs[0]!.parameters
      const alone = kind === 'init' || kind === 'prune'
      const atOnce = (): number => limits.jobsAtOnce ?? Number.POSITIVE_INFINITY
      give = await deps.slots.take(run.repository.id, alone, stop.signal, atOnce)
      waiting = false
      await prepareAll()
      await move()
    } catch (error) {
      if (!abandoned) await endAll(error)
    } finally {
      stop.abort(new Error('the batch is over'))
      bound?.remove()
      give()
      for (const job of [...ready.keys()]) await settle(job)
      rmSync(join(deps.paths.work, batch), { recursive: true, force: true })
    }
    if (!abandoned) journal.close(batch)
  }

  /** Nothing could be moved at all. */
  async function endAll(error: unknown): Promise<void> {
    if (open.size === 0) return
    let reason: Reason = 'internal-error'
    let message = 'the mover could not be started; the log of the agent says why'
    if (error instanceof JobRefusal) ({ reason, message } = error)
    else {
      log.error('a batch could not be carried out', { batch, error: describeError(error) })
      if (isDiskFull(error)) {
        reason = 'disk-full'
        message = 'the disk of the state directory is full'
      }
    }
    for (const job of [...open.values()]) await end(job, { outcome: 'failed', reason, message })
  }

  const leasing = keeper.run(stop.signal)
  const finished = Promise.all([carryOut(), leasing]).then(() => {})
  return {
    finished,
    cancel,
    limit,
    abandon() {
      abandoned = true
      mover?.kill()
      stop.abort(new Error('the agent is stopping'))
    },
  }
}
