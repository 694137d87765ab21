// Policies that are due become jobs; slots that nobody ran become missed jobs, once.

import type { AuditEvent } from '../../shared/audit/event.ts'
import { type Reason, reasons } from '../../shared/backup/outcome.ts'
import { parseSource } from '../../shared/backup/source.ts'
import { formatInstant, type Instant, MINUTE } from '../../shared/clock.ts'
import { newId } from '../../shared/ids.ts'
import { nextFire, type Schedule } from '../../shared/policy/schedule.ts'
import type { FleetSource, FleetStore } from '../ports/store/fleet.ts'
import type { FinishedJob, NewJob } from '../ports/store/job-requests.ts'
import type { PendingJob, PoliciesStore, Policy } from '../ports/store/policies.ts'
import { alertMessage } from './alert-message.ts'
import { backupParameters } from './backup-parameters.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import { selects } from './selector.ts'

/** A slot seen later than this was not seen in time: the control plane did not run. */
const LATE = 2 * MINUTE

/** A host is offline when its last sign of life is older: one is due every 5 min, and a minute for the way. */
const OFFLINE_AFTER = 6 * MINUTE

/** Slots of one outage that are recorded one by one, per source; more would only fill the table. */
const MAX_RECORDED = 100

/** Policies taken up per tick; the rest waits for the next. */
const MAX_DUE = 100

export type Scheduler = ReturnType<typeof createScheduler>

export interface Tick {
  readonly queued: number
  readonly missed: number
  /** Hosts that have something new to do. */
  readonly hosts: readonly string[]
}

export function createScheduler(
  deps: Basics & { policies: PoliciesStore; fleet: Pick<FleetStore, 'sources'> },
) {
  /** One policy's step. Undefined when another process took it. */
  async function advance(policy: Policy, sources: readonly FleetSource[], now: Instant) {
    const schedule = policy.document.schedule
    if (schedule === undefined || policy.nextAt === null) return undefined
    const { slots, newest, unlisted, next } = passedSlots(schedule, policy.nextAt, now)
    const covered = sources.filter((source) => selects(policy.document.select, source))
    const pending = new Map(
      (await deps.policies.pending(policy.id)).map((job) => [placeOf(job), job]),
    )
    const queued: NewJob[] = []
    const missed: (NewJob & FinishedJob)[] = []
    const expired: (FinishedJob & { host: string; source: string; slotAt: Instant })[] = []

    for (const source of covered) {
      const waiting = pending.get(placeOf(source))
      const offline = isOffline(source, now)
      const job = (slotAt: Instant): NewJob => newJob(policy, source, slotAt, now)
      const miss = (slotAt: Instant, reason: Reason) =>
        missed.push({ ...job(slotAt), ...ending(slotAt, reason, now) })

      const expires = waiting !== undefined && offline && waiting.slotAt !== null
      if (expires) {
        const { id, slotAt } = waiting as PendingJob & { slotAt: Instant }
        const ended = { ...ending(slotAt, 'host-offline', now), id }
        expired.push({ ...ended, host: source.host, source: source.source, slotAt })
      }
      for (const slot of slots)
        miss(slot, now - slot > LATE ? 'plane-was-down' : 'previous-still-running')
      // At most one run waits: the newest slot's, unless an older one is about to run.
      if (waiting === undefined || expires) queued.push(job(newest))
      else miss(newest, offline ? 'host-offline' : 'previous-still-running')
    }

    const misses = [...expired, ...missed]
    const events: [AuditEvent, ...AuditEvent[]] = [
      newEvent(deps, {
        actor: 'system',
        action: 'policy.due',
        target: `policy:${policy.name}`,
        outcome: 'ok',
        details: {
          slot: formatInstant(newest),
          queued: queued.length,
          missed: misses.length,
          unlisted,
          next: next === null ? null : formatInstant(next),
        },
      }),
      ...queued.map((job) => jobEvent(job, 'job.queued', {})),
      ...misses.map((job) =>
        jobEvent({ ...job, kind: 'backup', policyName: policy.name }, 'job.finished', {
          outcome: job.outcome,
          reason: job.reason,
        }),
      ),
    ]
    const messages = alertsOf(policy, misses, covered, unlisted)
    const done = await deps.policies.advance(
      {
        policy: policy.id,
        version: policy.version,
        from: policy.nextAt,
        to: next,
        expired,
        missed,
        queued,
      },
      { events, messages },
    )
    return done ? { queued, missed: misses.length } : undefined
  }

  function newJob(policy: Policy, source: FleetSource, slotAt: Instant, now: Instant): NewJob {
    const id = newId(deps.clock, deps.random)
    return {
      id,
      kind: 'backup',
      host: source.host,
      repository: source.repository,
      source: source.source,
      policy: policy.id,
      policyName: policy.name,
      slotAt,
      parameters: backupParameters({
        job: id,
        source: parseSource(source.source),
        project: source.project,
        policy,
        now,
        readAll: false,
      }),
      requestedBy: 'system',
      createdAt: now,
    }
  }

  function jobEvent(
    job: Pick<NewJob, 'id' | 'kind' | 'host' | 'source' | 'policyName' | 'slotAt'>,
    action: 'job.queued' | 'job.finished',
    ended: { outcome?: string; reason?: string },
  ): AuditEvent {
    return newEvent(deps, {
      actor: 'system',
      action,
      target: `job:${job.id}`,
      outcome: action === 'job.queued' ? 'ok' : 'failed',
      host: job.host,
      job: job.id,
      details: {
        kind: job.kind,
        source: job.source,
        policy: job.policyName,
        slot: job.slotAt === null ? null : formatInstant(job.slotAt),
        ...ended,
      },
    })
  }

  /** One alert per host and reason, however many sources and slots: a night offline is one message. */
  function alertsOf(
    policy: Policy,
    misses: readonly (FinishedJob & {
      host: string
      source: string | null
      slotAt: Instant | null
    })[],
    covered: readonly FleetSource[],
    unlisted: boolean,
  ) {
    const names = new Map(covered.map((source) => [source.host, source.hostName]))
    const groups = Map.groupBy(misses, (job) => `${job.host} ${job.reason}`)
    return [...groups.values()].map((jobs) => {
      const [first] = jobs as [(typeof jobs)[number]]
      const hostname = names.get(first.host) ?? first.host
      const sources = new Set(jobs.map((job) => job.source))
      const slots = jobs.flatMap((job) => job.slotAt ?? [])
      const from = formatInstant(Math.min(...slots))
      const to = formatInstant(Math.max(...slots))
      const runs = jobs.length === 1 ? 'A backup' : `${jobs.length} backups`
      const when = from === to ? `due at ${from}` : `due between ${from} and ${to}`
      const more = unlisted ? ' Earlier slots of this outage are not listed one by one.' : ''
      return alertMessage(deps, 'job-missed', {
        hostname,
        message: `${runs} of ${sources.size === 1 ? first.source : `${sources.size} sources`} on ${hostname} by policy "${policy.name}", ${when}, did not happen: ${reasons[first.reason]}.${more}`,
        policy: policy.name,
        outcome: 'missed',
        reason: first.reason,
        ...(sources.size === 1 && first.source !== null ? { source: first.source } : {}),
        ...(jobs.length === 1 ? { job: first.id } : {}),
      })
    })
  }

  return {
    /**
     * Takes up every policy whose slot has come. Safe to call from several processes at once, and to die in:
     * each policy moves in one batch, guarded by the slot it moves from.
     */
    async tick(now: Instant): Promise<Tick> {
      const due = await deps.policies.due(now, MAX_DUE)
      if (due.length === 0) return { queued: 0, missed: 0, hosts: [] }
      const sources = await deps.fleet.sources({ gone: false })
      let queued = 0
      let missed = 0
      const hosts = new Set<string>()
      const failures: unknown[] = []
      for (const policy of due) {
        // One policy that cannot move must not hold up the others.
        const step = await advance(policy, sources, now).catch((error: unknown) => {
          failures.push(error)
          return undefined
        })
        if (step === undefined) continue
        queued += step.queued.length
        missed += step.missed
        for (const job of step.queued) hosts.add(job.host)
      }
      if (failures.length > 0) {
        throw new AggregateError(
          failures,
          `${failures.length} of ${due.length} due policies failed`,
        )
      }
      return { queued, missed, hosts: [...hosts] }
    },
  }
}

/**
 * The slots from `first` (itself one) to `now`: the newest, up to a hundred before it, and the next one
 * after `now`. `unlisted`: there were more before these, from `first` on.
 */
export function passedSlots(
  schedule: Schedule,
  first: Instant,
  now: Instant,
): { slots: Instant[]; newest: Instant; unlisted: boolean; next: Instant | null } {
  // Looking back twice as far each time: a long outage of a busy schedule costs no more than a short one.
  let begin = first
  let found: Instant[] = []
  for (let back = MINUTE; ; back *= 2) {
    begin = Math.max(first, now - back)
    found = slotsBetween(schedule, begin, now)
    if (begin === first || found.length > MAX_RECORDED) break
  }
  const newest = found.at(-1) ?? first
  const slots = found.slice(0, -1).slice(-MAX_RECORDED)
  const unlisted = begin > first || found.length - 1 > slots.length
  return { slots, newest, unlisted, next: nextFire(schedule, Math.max(now, newest)) ?? null }
}

function slotsBetween(schedule: Schedule, from: Instant, to: Instant): Instant[] {
  const slots: Instant[] = []
  let at = nextFire(schedule, from - 1)
  while (at !== undefined && at <= to) {
    slots.push(at)
    at = nextFire(schedule, at)
  }
  return slots
}

function ending(slotAt: Instant, reason: Reason, now: Instant): Omit<FinishedJob, 'id'> {
  const message = `the run due at ${formatInstant(slotAt)} did not happen: ${reasons[reason]}`
  return { outcome: 'missed', reason, message, finishedAt: now }
}

function isOffline(source: FleetSource, now: Instant): boolean {
  return source.hostLastSeen === null || now - source.hostLastSeen > OFFLINE_AFTER
}

function placeOf(at: { host: string; source: string }): string {
  return `${at.host} ${at.source}`
}
