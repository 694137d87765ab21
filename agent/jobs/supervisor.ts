// Takes batches from the control plane, has them carried out, and clears up after a crash.
import { rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import type { Limits } from '../../shared/backup/limits.ts'
import { type Duration, MINUTE, SECOND } from '../../shared/clock.ts'
import type { Run } from '../../shared/protocol/from-control.ts'
import type { Engine } from '../docker/engine.ts'
import { removeLeftovers } from '../docker/holder.ts'
import { describeError } from '../log/scrub.ts'
import { type BatchDeps, type RunningBatch, runBatch } from './batch.ts'
import type { JournalBatch } from './journal.ts'
import { settleExchange, startStopped } from './prepare-restore.ts'
import { isAlive } from './process-identity.ts'

/** How often old trees of in-place restores are looked at: they are kept for hours. */
const TIDY_EVERY: Duration = 10 * MINUTE
/** Somebody's service is down: a container that did not start is tried again this soon. */
const START_EVERY: Duration = 10 * SECOND
/**
 * The engine ends a stop that a killed agent asked for, however long the container takes to end (Compose's
 * `stop_grace_period`: 10 s unless set, a minute for many databases). One that was up this long was never stopped.
 */
const STOP_UNDER_WAY: Duration = 2 * MINUTE
/** A killed process is gone within this, unless the kernel holds it in a system call. */
const KILL_PATIENCE: Duration = 10 * SECOND

export interface Supervisor {
  /** Clear up what a former run left: dead attempts, surviving movers. Call before the first `accept`. */
  recover(): Promise<void>
  /** The engine answers: start what a former run stopped, remove its holders. */
  recoverContainers(engine: Engine): Promise<void>
  /** Carry out a batch; one that is known already is not begun again. */
  accept(run: Run): void
  cancel(batch: string, jobs: readonly string[]): void
  /** From now on the batch keeps to these, and to what the host's own file says. */
  limit(batch: string, limits: Limits): void
  readonly running: readonly string[]
  /** Look after old trees until `signal` is aborted, then end all movers. */
  run(signal: AbortSignal): Promise<void>
}

export interface SupervisorDeps extends BatchDeps {
  /** These containers, which a former run had stopped, were started again. */
  readonly onStarted: (names: readonly string[]) => void
}

export function createSupervisor(deps: SupervisorDeps): Supervisor {
  const { journal, log, clock, reports, host } = deps
  const running = new Map<string, RunningBatch>()
  let holdersRemoved = false

  async function endSurvivor(batch: JournalBatch): Promise<void> {
    const { mover } = batch
    if (mover === undefined || !isAlive(mover)) return
    log.warn('a mover outlived its supervisor and is killed', {
      batch: batch.batch,
      pid: mover.pid,
    })
    process.kill(mover.pid, 'SIGKILL')
    const ends = clock.monotonic() + KILL_PATIENCE
    while (isAlive(mover) && clock.monotonic() < ends) await clock.sleep(SECOND / 20)
  }

  /** Old trees whose time is over. One that cannot be removed is tried again next time. */
  async function tidy(): Promise<void> {
    const now = clock.now()
    for (const { path, until } of journal.kept) {
      if (until > now) continue
      try {
        // Millions of files may lie in it, and leases must be kept meanwhile.
        await rm(path, { recursive: true, force: true })
        journal.removed(path)
      } catch (error) {
        log.error('an old tree could not be removed', { error: describeError(error) })
      }
    }
  }

  /** One exchange that cannot be settled now keeps no agent from starting; the next start tries again. */
  function settleExchanges(): void {
    for (const { job } of journal.exchanges) {
      try {
        settleExchange(deps, job)
      } catch (error) {
        log.error('an exchange could not be settled', { job, error: describeError(error) })
      }
    }
  }

  /** Of a batch that no longer runs: nobody else starts it again. */
  const isIdle = ({ batch }: { batch: string }): boolean => !running.has(batch)
  let starting: Promise<void> | undefined
  /** Containers found running although they were to be stopped, and since when. */
  const upSince = new Map<string, number>()

  function settled(container: string): boolean {
    const now = clock.monotonic()
    const since = upSince.get(container) ?? now
    upSince.set(container, since)
    return now - since >= STOP_UNDER_WAY
  }

  /** What such batches stopped. One at a time: two would start, and pause, the same container side by side. */
  function startIdle(engine: Engine): Promise<void> {
    starting ??= startAndTell(engine).finally(() => {
      starting = undefined
    })
    return starting
  }

  /** The rounds try again; what did start was told. */
  function notStarted(error: unknown): void {
    log.error('containers could not be started again', { error: describeError(error) })
  }

  async function startAndTell(engine: Engine): Promise<void> {
    const names: string[] = []
    try {
      const onStarted = (name: string): void => void names.push(name)
      await startStopped(deps, engine, isIdle, { settled, onStarted })
    } finally {
      // Whoever asked, and however it ended for the others: these run again.
      if (names.length > 0) deps.onStarted(names)
      const still = new Set(journal.stopped.map(({ container }) => container.id))
      for (const id of upSince.keys()) if (!still.has(id)) upSince.delete(id)
    }
  }

  return {
    async recover() {
      for (const batch of journal.batches.values()) {
        if (batch.closed) continue
        await endSurvivor(batch)
        for (const { job, attempt, fence } of batch.jobs) {
          if (batch.reports.some((report) => report.request.job === job)) continue
          journal.finish(batch.batch, {
            job,
            attempt,
            fence,
            outcome: 'lost',
            reason: 'agent-restarted',
          })
        }
        journal.close(batch.batch)
      }
      // Of closed batches too: what a settled job could not undo is left to this moment.
      settleExchanges()
      rmSync(deps.paths.work, { recursive: true, force: true })
      reports.nudge()
    },

    async recoverContainers(engine) {
      await startIdle(engine).catch(notStarted)
      try {
        if (!holdersRemoved) {
          const removed = await removeLeftovers(engine, host)
          holdersRemoved = true
          if (removed > 0) log.info('holders of a former run were removed', { count: removed })
        }
      } catch (error) {
        // The next connection to the engine tries again.
        log.error('holders of a former run could not be removed', { error: describeError(error) })
      }
    },

    accept(run) {
      const { batch } = run
      if (running.has(batch)) return
      if (journal.batches.has(batch)) {
        reports.repeat(batch)
        return
      }
      journal.accept(
        batch,
        run.jobs.map(({ id, attempt, fence, parameters: { kind } }) => ({
          job: id,
          attempt,
          fence,
          kind,
        })),
      )
      // If we die here the next start reports these attempts as lost.
      log.info('a batch was accepted', { batch, jobs: run.jobs.length })
      const begun = runBatch(deps, run)
      running.set(batch, begun)
      begun.finished
        .catch((error) => log.error('a batch ended badly', { batch, error: describeError(error) }))
        .finally(() => running.delete(batch))
    },

    cancel(batch, jobs) {
      running.get(batch)?.cancel(jobs)
    },

    limit(batch, limits) {
      running.get(batch)?.limit(limits)
    },

    get running() {
      return [...running.keys()]
    },

    async run(signal) {
      while (!signal.aborted) {
        await tidy()
        const engine = deps.engine()
        if (engine !== undefined && journal.stopped.some(isIdle)) {
          await startIdle(engine).catch(notStarted)
        }
        const down = journal.stopped.some(isIdle)
        await clock.sleep(down ? START_EVERY : TIDY_EVERY, signal).catch(() => {})
      }
      const all = [...running.values()]
      for (const batch of all) batch.abandon()
      await Promise.allSettled(all.map((batch) => batch.finished))
    },
  }
}
