// Prunes as jobs: daily where there is something to do, or asked for, or approved by an admin.
import type { ParametersOf } from '../../shared/backup/job.ts'
import { DAY, HOUR, type Instant, MINUTE } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { newId } from '../../shared/ids.ts'
import { PRUNE_PROTOCOL_VERSION } from '../../shared/protocol/version.ts'
import type { FleetStore } from '../ports/store/fleet.ts'
import type { JobRequestsStore, NewJob } from '../ports/store/job-requests.ts'
import type { PrunesStore } from '../ports/store/prunes.ts'
import type { RetirementsStore } from '../ports/store/retirements.ts'
import { actorOf, type Identity } from './access.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import { freeBytes } from './proposals.ts'
import type { Reconcile } from './reconcile.ts'

/** Repositories taken up in one tick. */
const MAX_DUE = 20
/**
 * Slots lie in the small hours of UTC, where most of a fleet's backups are over or have not begun; each
 * repository keeps a minute of its own, so that the hosts of a fleet do not start together.
 */
const FIRST_SLOT = 2 * HOUR
const SLOTS = 180
/** A slot seen later than this was slept through: the next day's is soon enough. */
const LATE = 6 * HOUR
/** As long as a night: what is not repacked by then is repacked another day. */
const MAX_SECONDS = 4 * 3_600
/** restic's own default: below that share of waste a repack costs more than it frees. */
const MAX_UNUSED_PERCENT = 5
/** Bytes written anew in one run where nobody says otherwise. */
const MAX_REPACK = 64 * 2 ** 30

export interface WantedPrune {
  readonly maxRepackBytes?: number | undefined
  readonly maxSeconds?: number | undefined
  readonly maxUnusedPercent?: number | undefined
}

export function createPrunes(
  deps: Basics & {
    prunes: PrunesStore
    retirements: RetirementsStore
    jobs: Pick<JobRequestsStore, 'get'>
    fleet: Pick<FleetStore, 'host'>
    reconcile: Pick<Reconcile, 'repository'>
    wake: (host: string) => Promise<void>
  },
) {
  const { prunes, retirements, jobs, fleet, reconcile, clock } = deps

  async function parameters(
    repository: string,
    wanted: WantedPrune,
  ): Promise<ParametersOf<'prune'>> {
    // Half of what may go without a word: the other half is for what nothing needs any more.
    const share = Math.floor(freeBytes(await retirements.packBytes(repository)) / 2)
    return {
      kind: 'prune',
      maxRepackBytes: wanted.maxRepackBytes ?? Math.min(share, MAX_REPACK),
      maxSeconds: wanted.maxSeconds ?? MAX_SECONDS,
      maxUnusedPercent: wanted.maxUnusedPercent ?? MAX_UNUSED_PERCENT,
    }
  }

  async function queue(
    host: string,
    repository: string,
    wanted: ParametersOf<'prune'>,
    actor: string,
    more: Record<string, string | number> = {},
  ): Promise<string | undefined> {
    const job: NewJob = {
      id: newId(clock, deps.random),
      kind: 'prune',
      host,
      repository,
      source: null,
      policy: null,
      policyName: null,
      slotAt: null,
      parameters: wanted,
      requestedBy: actor,
      createdAt: clock.now(),
    }
    const event = newEvent(deps, {
      actor,
      action: 'approvedBytes' in more ? 'prune.approved' : 'job.queued',
      target: `job:${job.id}`,
      outcome: 'ok',
      host,
      job: job.id,
      details: { kind: 'prune', maxRepackBytes: wanted.maxRepackBytes, ...more },
    })
    return (await prunes.queue(job, { events: [event] })) ? job.id : undefined
  }

  async function queueFor(
    host: string,
    repository: string,
    wanted: ParametersOf<'prune'>,
    by: Identity,
    more?: Record<string, string | number>,
  ): Promise<string> {
    const protocol = await prunes.protocol(host)
    if ((protocol ?? 0) < PRUNE_PROTOCOL_VERSION) {
      throw new HoldfastError(
        'version-unsupported',
        'the agent of this host knows nothing of prunes',
        {
          hint: 'upgrade the agent and let it connect once',
        },
      )
    }
    const id = await queue(host, repository, wanted, actorOf(by), more)
    if (id === undefined) {
      throw new HoldfastError('already-exists', 'a prune of this repository waits or runs already')
    }
    await deps.wake(host)
    return id
  }

  return {
    /** Asked for by a person. Resolves to the job's id. */
    async request(wanted: WantedPrune & { readonly host: string }, by: Identity): Promise<string> {
      const host = await fleet.host(wanted.host)
      if (host === undefined) {
        throw new HoldfastError('not-found', `there is no host "${wanted.host}"`)
      }
      if (host.repositoryState !== 'ready') {
        throw new HoldfastError(
          'repository-absent',
          `the repository of host "${host.name}" is not made yet`,
          { hint: 'its first backup makes it' },
        )
      }
      return queueFor(host.id, host.repository, await parameters(host.repository, wanted), by)
    },

    /** Lets a prune that waits for a person's word take away what it proposed, in a new job. */
    async approve(id: string, by: Identity): Promise<string> {
      const job = await jobs.get(id)
      if (job === undefined) throw new HoldfastError('not-found', `there is no job "${id}"`)
      const proposal = await retirements.lastProposal(id)
      if (job.parameters.kind !== 'prune' || proposal?.decision !== 'wait') {
        throw new HoldfastError('invalid', `job ${id} waits for no approval`)
      }
      if (job.state !== 'finished') {
        throw new HoldfastError('conflict', 'the job is still going on; try again when it is over')
      }
      const approvedBytes = proposal.unreferencedBytes + proposal.repackBytes
      return queueFor(job.host, job.repository, { ...job.parameters, approvedBytes }, by, {
        approvedBytes,
        proposal: id,
      })
    },

    /**
     * Gives every repository its slot, and those whose slot has come their job. Safe in several processes: the slot
     * moves first, guarded by what it was. If we die after that the next day's slot finds the same things to do.
     */
    async tick(): Promise<string[]> {
      const now = clock.now()
      for (const repository of await prunes.unscheduled(MAX_DUE)) {
        await prunes.setSlot(repository, null, nextSlot(repository, now))
      }
      const queued: string[] = []
      const failures: unknown[] = []
      for (const due of await prunes.due(now, MAX_DUE)) {
        if (!(await prunes.setSlot(due.repository, due.slot, nextSlot(due.repository, now))))
          continue
        if (!due.needed || now - due.slot > LATE) continue
        try {
          await reconcile.repository({ id: due.repository, host: due.host, vault: due.vault })
          const wanted = await parameters(due.repository, {})
          const id = await queue(due.host, due.repository, wanted, 'system')
          if (id !== undefined) queued.push(due.host)
        } catch (error) {
          // One vault that does not answer holds up no other.
          failures.push(error)
        }
      }
      if (failures.length > 0) throw new AggregateError(failures, 'some prunes could not be queued')
      return queued
    },
  }
}
export type Prunes = ReturnType<typeof createPrunes>

/** The next time of a repository's own minute of the night, from its id. */
export function nextSlot(repository: string, now: Instant): Instant {
  const minute = Number.parseInt(repository.slice(-6), 16) % SLOTS
  const today = Math.floor(now / DAY) * DAY + FIRST_SLOT + minute * MINUTE
  return today > now ? today : today + DAY
}
