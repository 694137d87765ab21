// What people ask hosts to do: back up, restore, browse, verify, cancel.
import type * as z from 'zod'
import { type DataSubset, tellReadData } from '../../shared/backup/data-subset.ts'
import { type JobParameters, jobParameters, type ParametersOf } from '../../shared/backup/job.ts'
import { parseSource } from '../../shared/backup/source.ts'
import { formatInstant } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { newId } from '../../shared/ids.ts'
import type { FleetHost, FleetStore } from '../ports/store/fleet.ts'
import type { Job, JobRequestsStore, NewJob } from '../ports/store/job-requests.ts'
import type { PoliciesStore } from '../ports/store/policies.ts'
import { actorOf, authoriseBrowse, authoriseRestore, type Identity } from './access.ts'
import { type AdoptionDeps, planAdoption, type WantedAdoption } from './adoptions.ts'
import { backupParameters } from './backup-parameters.ts'
import type { Catalogue } from './catalogue.ts'
import { chooseSources, type WantedSources } from './choose-sources.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import { fieldProblems, InvalidFields } from './problem.ts'
import { planRestore, type WantedRestore } from './restore-plan.ts'

export interface RequestedJob {
  readonly job: Job
  /** False when the same run was waiting already. */
  readonly created: boolean
}

export type JobRequests = ReturnType<typeof createJobRequests>

export function createJobRequests(
  deps: Basics & {
    store: JobRequestsStore
    fleet: FleetStore
    catalogue: Pick<Catalogue, 'readable'>
    policies: Pick<PoliciesStore, 'find' | 'pending'>
    adoption: AdoptionDeps
    /** Tells whoever hands out work that this host has some; may fail silently, work is found anyway. */
    wake: (host: string) => Promise<void>
    /** Tells the host of a running job at once; the mark in the database is what counts. */
    cancelled: (job: Pick<Job, 'id' | 'host' | 'batch'>) => Promise<void>
  },
) {
  const { store, fleet, catalogue, clock } = deps

  async function hostNamed(idOrName: string): Promise<FleetHost> {
    const host = await fleet.host(idOrName)
    if (host === undefined) throw new HoldfastError('not-found', `there is no host "${idOrName}"`)
    return host
  }

  function draft(
    host: { id: string; repository: string },
    source: string | null,
    parameters: (job: string) => JobParameters,
    by: Identity,
    policy?: { id: string; name: string },
  ): NewJob {
    const id = newId(clock, deps.random)
    const checked = checkParameters(parameters(id))
    return {
      id,
      kind: checked.kind,
      host: host.id,
      repository: host.repository,
      source,
      policy: policy?.id ?? null,
      policyName: policy?.name ?? null,
      slotAt: null,
      parameters: checked,
      requestedBy: actorOf(by),
      createdAt: clock.now(),
    }
  }

  async function add(jobs: readonly NewJob[], by: Identity): Promise<void> {
    const [first, ...rest] = jobs
    if (first === undefined) return
    const event = (job: NewJob) =>
      newEvent(deps, {
        actor: actorOf(by),
        action: 'job.queued',
        target: `job:${job.id}`,
        outcome: 'ok',
        host: job.host,
        job: job.id,
        details: {
          kind: job.kind,
          source: job.source,
          policy: job.policyName,
          ...facts(job.parameters),
        },
      })
    if (!(await store.add([first, ...rest], { events: [event(first), ...rest.map(event)] }))) {
      throw new HoldfastError(
        'conflict',
        'a run of this policy began to wait, or the host was removed; try again',
      )
    }
    for (const host of new Set(jobs.map((job) => job.host))) await deps.wake(host)
  }

  /** With the whole id of a snapshot that was named by the first digits of it. */
  async function wholeSubset(
    host: FleetHost,
    readData: boolean | DataSubset,
  ): Promise<boolean | DataSubset> {
    if (typeof readData === 'boolean' || !('snapshot' in readData)) return readData
    if (readData.snapshot === 'random') return readData
    const snapshot = await catalogue.readable(readData.snapshot)
    if (snapshot.host === host.id) return { snapshot: snapshot.id }
    throw new HoldfastError(
      'not-found',
      `snapshot ${snapshot.id.slice(0, 8)} is not of host "${host.name}"`,
    )
  }

  async function get(id: string): Promise<Job> {
    const job = await store.get(id)
    if (job === undefined) throw new HoldfastError('not-found', `there is no job "${id}"`)
    return job
  }

  return {
    get,

    /** Back up some sources of a host, or what a policy covers (on one host or on all). */
    async backup(
      wanted: WantedSources & { readAll: boolean },
      by: Identity,
    ): Promise<RequestedJob[]> {
      const { policy, chosen } = await chooseSources(deps, wanted)
      const waiting = new Map(
        policy === undefined
          ? []
          : (await deps.policies.pending(policy.id)).map((job) => [
              `${job.host} ${job.source}`,
              job.id,
            ]),
      )
      const results: { id: string; created: boolean }[] = []
      const jobs: NewJob[] = []
      for (const source of chosen) {
        const same = waiting.get(`${source.host} ${source.source}`)
        if (same !== undefined) {
          results.push({ id: same, created: false })
          continue
        }
        const job = draft(
          { id: source.host, repository: source.repository },
          source.source,
          (id) =>
            backupParameters({
              job: id,
              source: parseSource(source.source),
              project: source.project,
              policy,
              now: clock.now(),
              readAll: wanted.readAll,
            }),
          by,
          policy,
        )
        jobs.push(job)
        results.push({ id: job.id, created: true })
      }
      await add(jobs, by)
      return Promise.all(results.map(async ({ id, created }) => ({ job: await get(id), created })))
    },

    /** Restore a snapshot: to its own host, or with the recovery password sealed for it to another. */
    async restore(
      wanted: WantedRestore & { snapshot: string; host?: string | undefined },
      by: Identity,
    ): Promise<Job> {
      const snapshot = await catalogue.readable(wanted.snapshot)
      const host = await hostNamed(wanted.host ?? snapshot.host)
      const sameHost = host.id === snapshot.host
      authoriseRestore(by, { target: wanted.target, sameHost })
      const there = await fleet.sources({ host: host.id, gone: false })
      const parameters = planRestore(snapshot, host, there, wanted)
      const job = draft(
        { id: host.id, repository: snapshot.repository },
        snapshot.source,
        () => parameters,
        by,
      )
      await add([job], by)
      return get(job.id)
    },

    /** List or read what a snapshot holds; the pages are sealed to whoever asked. */
    async browse(
      wanted: Pick<ParametersOf<'browse'>, 'path' | 'what' | 'recipient'> & { snapshot: string },
      by: Identity,
    ): Promise<Job> {
      authoriseBrowse(by, wanted)
      const snapshot = await catalogue.readable(wanted.snapshot)
      // Only the host that made it holds the key.
      const host = await hostNamed(snapshot.host)
      const job = draft(
        host,
        snapshot.source,
        () => ({
          kind: 'browse',
          snapshot: snapshot.id,
          source: parseSource(snapshot.source),
          path: wanted.path,
          what: wanted.what,
          recipient: wanted.recipient,
        }),
        by,
      )
      await add([job], by)
      return get(job.id)
    },

    /** Check a host's repository: its structure, and as much of its data as is asked for. */
    async verify(
      wanted: { host: string; readData: boolean | DataSubset },
      by: Identity,
    ): Promise<Job> {
      const host = await hostNamed(wanted.host)
      if (host.repositoryState !== 'ready') {
        throw new HoldfastError(
          'repository-absent',
          `the repository of host "${host.name}" is not made yet`,
          {
            hint: 'its first backup makes it',
          },
        )
      }
      const readData = await wholeSubset(host, wanted.readData)
      const job = draft(host, null, () => ({ kind: 'verify', readData }), by)
      await add([job], by)
      return get(job.id)
    },

    /** Make a repository that is there already the host's own; `add` guards nothing, the host's first call does. */
    async adopt(wanted: WantedAdoption & { host: string }, by: Identity): Promise<Job> {
      const host = await hostNamed(wanted.host)
      const parameters = await planAdoption(deps.adoption, host, wanted)
      const job = draft(host, null, () => parameters, by)
      await add([job], by)
      return get(job.id)
    },

    /** A waiting job ends at once, a running one is told; a finished one stays as it is. */
    async cancel(id: string, by: Identity): Promise<Job> {
      const job = await get(id)
      const event = newEvent(deps, {
        actor: actorOf(by),
        action: 'job.cancelled',
        target: `job:${id}`,
        outcome: 'ok',
        host: job.host,
        job: id,
        details: { kind: job.kind, state: job.state },
      })
      const now = clock.now()
      if (job.state === 'queued') {
        const ended = {
          id,
          outcome: 'cancelled',
          reason: 'cancelled-by-person',
          message: `cancelled by "${by.name}" at ${formatInstant(now)} before it began`,
          finishedAt: now,
        } as const
        if (await store.cancelQueued(ended, { events: [event] })) return get(id)
      }
      const current = await get(id)
      if (current.state === 'running') {
        if (current.cancelAt === null) await store.cancelRunning(id, now, { events: [event] })
        await deps.cancelled(current)
        return get(id)
      }
      if (current.state === 'queued')
        throw new HoldfastError('conflict', 'the job changed; try again')
      if (current.outcome === 'cancelled') return current
      throw new HoldfastError('conflict', `the job is over: ${current.outcome}`)
    },
  }
}

/** What the audit log keeps of a job's parameters: never a path inside a snapshot. */
function facts(parameters: JobParameters): Record<string, string | number | boolean | null> {
  switch (parameters.kind) {
    case 'restore':
      return {
        snapshot: parameters.snapshot,
        target: parameters.target.kind,
        to:
          parameters.target.kind === 'directory' ? parameters.target.path : parameters.target.name,
        paths: parameters.paths.length,
        foreign: parameters.sealedPassword !== undefined,
      }
    case 'browse':
      return {
        snapshot: parameters.snapshot,
        what: parameters.what,
        recipient: parameters.recipient,
      }
    case 'verify':
      return { readData: tellReadData(parameters.readData) }
    case 'backup':
      return { readAll: parameters.readAll }
    case 'prune':
      return {
        maxRepackBytes: parameters.maxRepackBytes,
        maxSeconds: parameters.maxSeconds,
        maxUnusedPercent: parameters.maxUnusedPercent,
        approvedBytes: parameters.approvedBytes ?? null,
      }
    case 'init':
      return parameters.adopt === undefined
        ? {}
        : { vault: parameters.adopt.vault, place: parameters.adopt.place }
  }
}

/** What is stored is what the agent will accept. */
function checkParameters(parameters: z.input<typeof jobParameters>): JobParameters {
  const result = jobParameters.safeParse(parameters)
  if (result.success) return result.data
  throw new InvalidFields(fieldProblems(result.error))
}
