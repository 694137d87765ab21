// Waiting jobs become batches, and batches reach their hosts: now, and again until the agent answers.
import type { JobKind, JobParameters } from '../../shared/backup/job.ts'
import { type Limits, strictest } from '../../shared/backup/limits.ts'
import { type Duration, formatInstant, MINUTE, SECOND } from '../../shared/clock.ts'
import { newId } from '../../shared/ids.ts'
import { limitsOf } from '../../shared/policy/limits.ts'
import { MAX_BATCH_JOBS, type Run } from '../../shared/protocol/from-control.ts'
import type { Connections } from '../ports/connections.ts'
import type { Batch, BatchesStore, GovernedBatch } from '../ports/store/batches.ts'
import type { HostsStore } from '../ports/store/hosts.ts'
import type { RepositoriesStore, RepositoryState } from '../ports/store/repositories.ts'
import type { End, RunningJob, RunningJobsStore } from '../ports/store/running-jobs.ts'
import type { Basics } from './deps.ts'
import { eachInTurn } from './each-in-turn.ts'
import { newEvent } from './event.ts'
import { endTrace } from './job-end.ts'
import type { OpenVault } from './vault-access.ts'

/** How long an attempt owns its jobs without a word; renewed every 30 s. */
export const LEASE: Duration = 10 * MINUTE
/** After this long a waiting prune goes before backups and verifications. */
const PRUNE_PATIENCE: Duration = 30 * MINUTE
/** Waiting jobs looked at together. */
const LOOK = 500
/** Characters of parameters in one `run` frame, which holds 1 Mi at most. */
const MAX_PARAMETERS = 900_000

export interface DispatchDeps extends Basics {
  readonly batches: BatchesStore
  readonly jobs: Pick<RunningJobsStore, 'finishQueued'>
  readonly hosts: Pick<HostsStore, 'nameOf'>
  readonly repositories: Pick<RepositoriesStore, 'find'>
  readonly connections: Connections
  readonly openVault: OpenVault
}

export function createDispatch(deps: DispatchDeps) {
  const { batches, jobs, hosts, repositories, connections, clock, random } = deps
  /** One at a time per host in this process; between processes the guard of `start` decides. */
  const turns = new Map<string, Promise<void>>()

  /** Starts what may start on this host and sends it, if the host is connected here. */
  function host(id: string): Promise<void> {
    const turn = (turns.get(id) ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => look(id))
      .finally(() => {
        if (turns.get(id) === turn) turns.delete(id)
      })
    turns.set(id, turn)
    return turn
  }

  async function look(id: string): Promise<void> {
    if (!connections.connected(id)) return
    for (const batch of await batches.unaccepted(id)) {
      if (await batches.offerAgain(batch.id, clock.now() + LEASE)) await send(batch)
    }
    const waiting = await batches.queued(id, clock.now(), LOOK)
    for (const repository of new Set(waiting.map((job) => job.repository))) {
      await form(
        id,
        repository,
        waiting.filter((job) => job.repository === repository),
      )
    }
  }

  async function form(host: string, id: string, waiting: RunningJob[]): Promise<void> {
    const repository = await repositories.find(id)
    if (repository === undefined) return
    if (repository.state !== 'ready') return prepare(host, repository, waiting)
    for (const kind of new Set(waiting.filter(makesWay(waiting)).map((job) => job.kind))) {
      const chosen = await choose(repository, kind, waiting)
      if (chosen.length > 0) await start(host, repository, kind, chosen)
    }
  }

  /** Movers that overlap for ever would keep a prune from its repository: what can wait lets it go first. */
  function makesWay(waiting: readonly RunningJob[]): (job: RunningJob) => boolean {
    const before = clock.now() - PRUNE_PATIENCE
    const prune = waiting.some((job) => job.kind === 'prune' && job.createdAt <= before)
    return (job) => !prune || (job.kind !== 'backup' && job.kind !== 'verify')
  }

  /** A repository that is not ready lets nothing through but its own making. */
  async function prepare(
    host: string,
    repository: RepositoryState,
    waiting: RunningJob[],
  ): Promise<void> {
    if (host !== repository.host) return // nothing to restore from yet
    const init = waiting.find((job) => job.kind === 'init')
    if (init !== undefined) return start(host, repository, 'init', [init])
    const id = newId(clock, random)
    const event = newEvent(deps, {
      actor: 'system',
      action: 'job.queued',
      target: `job:${id}`,
      outcome: 'ok',
      host,
      job: id,
      details: { kind: 'init', repository: repository.id },
    })
    const queued = await batches.queueInit(
      { id, host, repository: repository.id, at: clock.now() },
      { events: [event] },
    )
    if (!queued) return // it runs, or waits for its time
    const [job] = (await batches.queued(host, clock.now(), LOOK)).filter((job) => job.id === id)
    if (job !== undefined) await start(host, repository, 'init', [job])
  }

  /** Jobs of one kind that fit one mover and one frame; one backup per source at a time. */
  async function choose(
    repository: RepositoryState,
    kind: JobKind,
    waiting: RunningJob[],
  ): Promise<RunningJob[]> {
    const busy = new Set(kind === 'backup' ? await batches.busySources(repository.id) : [])
    const chosen: RunningJob[] = []
    let room = MAX_PARAMETERS
    for (const job of waiting) {
      if (job.kind !== kind || chosen.length === MAX_BATCH_JOBS) continue
      if (kind === 'backup' && job.source !== null) {
        if (busy.has(job.source)) continue
        busy.add(job.source)
      }
      const length = JSON.stringify(job.parameters).length
      if (length > MAX_PARAMETERS) {
        await tooLong(job, length)
        continue
      }
      if (length > room) break
      room -= length
      chosen.push(job)
    }
    return chosen
  }

  /** A job that no frame can carry would wait for ever. */
  async function tooLong(job: RunningJob, length: number): Promise<void> {
    const end: End = {
      outcome: 'failed',
      reason: 'target-invalid',
      message: `Its parameters are ${length} characters long; an agent takes at most ${MAX_PARAMETERS}.`,
      counts: null,
      report: null,
      at: clock.now(),
    }
    const hostname = (await hosts.nameOf(job.host)) ?? job.host
    await jobs.finishQueued(job.id, end, endTrace(deps, job, end, { actor: 'system', hostname }))
  }

  async function start(
    host: string,
    repository: RepositoryState,
    kind: JobKind,
    chosen: RunningJob[],
  ): Promise<void> {
    const at = clock.now()
    const id = newId(clock, random)
    const withParameters = await Promise.all(
      chosen.map(async (job) => ({ id: job.id, parameters: await settle(job, at) })),
    )
    const [first, ...rest] = chosen.map((job) =>
      newEvent(deps, {
        actor: 'system',
        action: 'job.started',
        target: `job:${job.id}`,
        outcome: 'ok',
        host,
        job: job.id,
        details: { kind, attempt: job.attempt + 1, batch: id, repository: repository.id },
      }),
    )
    const started = await batches.start(
      {
        id,
        host,
        repository: repository.id,
        kind,
        at,
        leaseUntil: at + LEASE,
        jobs: withParameters,
      },
      { events: [first!, ...rest] },
    )
    // If we die here, the batch is there and not accepted: it is sent at the next connect or tick.
    const batch = started ? await batches.find(id) : undefined
    if (batch !== undefined) await send(batch)
  }

  /** A backup's time is the start of its attempt, and its parent the newest snapshot there is then. */
  async function settle(job: RunningJob, at: number): Promise<JobParameters> {
    if (job.parameters.kind !== 'backup') return job.parameters
    const { parent: _before, ...rest } = job.parameters
    const parent = await batches.newestSnapshot(job.repository, job.source ?? '')
    return { ...rest, time: formatInstant(at), ...(parent === undefined ? {} : { parent }) }
  }

  async function send(batch: Batch): Promise<void> {
    const frame = await runFrame(batch)
    if (frame !== undefined) await connections.send(batch.host, frame)
  }

  /** A vault that cannot be opened is the trouble of whoever asks it for a grant. */
  async function needsMd5(vault: string): Promise<boolean> {
    return deps.openVault(vault).then(
      ({ objects }) => objects.needsMd5,
      () => false,
    )
  }

  async function runFrame(batch: Batch): Promise<Run | undefined> {
    const repository = await repositories.find(batch.repository)
    const running = await batches.jobs(batch.id)
    const hostname = repository === undefined ? undefined : await hosts.nameOf(repository.host)
    const limits = await limitsFor(batch.id)
    if (repository === undefined || hostname === undefined || running.length === 0) return undefined
    return {
      type: 'run',
      batch: batch.id,
      repository: {
        id: repository.id,
        hostname,
        epoch: repository.epoch,
        ready: repository.state === 'ready',
        foreign: repository.host !== batch.host,
        ...((await needsMd5(repository.vault)) ? { md5: true } : {}),
      },
      leaseSeconds: LEASE / SECOND,
      ...(limits === undefined ? {} : { limits }),
      jobs: running.map(({ id, attempt, fence, parameters }) => ({
        id,
        attempt,
        fence,
        parameters,
      })),
    }
  }

  /** What the policies of its jobs allow; undefined where that is everything, or its agent knows nothing of limits. */
  async function limitsFor(batch: string): Promise<Limits | undefined> {
    const [governed] = await batches.governed({ batch })
    const limits = governed === undefined ? {} : limitsOfAll(governed)
    return Object.keys(limits).length === 0 ? undefined : limits
  }

  async function tellLimits(governed: readonly GovernedBatch[]): Promise<void> {
    for (const one of governed) {
      const frame = { type: 'limits', batch: one.batch, limits: limitsOfAll(one) } as const
      await connections.send(one.host, frame)
    }
  }

  return {
    host,

    /** Tells the batches with a running job of this policy what it allows now. A frame that is lost is sent at the next connect. */
    async policyApplied(name: string): Promise<void> {
      await tellLimits(await batches.governed({ policy: name }))
    },

    /** Tells a host that has just connected what holds for the batches it has: that may have changed meanwhile. */
    async connected(id: string): Promise<void> {
      await tellLimits(await batches.governed({ host: id }))
    },

    /** Every host that is connected here and has something to do. For a timer, every few seconds. */
    async all(): Promise<void> {
      const busy = await batches.hostsWithWork(clock.now())
      await eachInTurn(busy.filter(connections.connected), host)
    },

    /** Tells the host at once that a person cancelled a running job; the lease answer says it too. */
    async cancelled(job: {
      readonly id: string
      readonly host: string
      readonly batch: string | null
    }): Promise<void> {
      if (job.batch === null) return
      await connections.send(job.host, { type: 'cancel', batch: job.batch, jobs: [job.id] })
    },
  }
}
/** Jobs of several policies in one batch: the strictest counts. */
function limitsOfAll({ documents }: GovernedBatch): Limits {
  return strictest(...documents.map(({ limits }) => limitsOf(limits)))
}

export type Dispatch = ReturnType<typeof createDispatch>
