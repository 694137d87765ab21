// Which snapshots are forgotten, and how: decided by policies, judged by receive time, carried out one by one.
import { DAY, type Instant } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { decide, type Judgement, type KeepRules } from '../../shared/policy/retention.ts'
import { spanOfLabel } from '../../shared/policy/span.ts'
import { smallKey } from '../../shared/vault/layout.ts'
import type { FleetSource, FleetStore } from '../ports/store/fleet.ts'
import type { PoliciesStore, Policy } from '../ports/store/policies.ts'
import type { KeptSnapshot, RepositoryDue, SnapshotsStore } from '../ports/store/snapshots.ts'
import { actorOf, type Identity } from './access.ts'
import type { Basics } from './deps.ts'
import { eachInTurn } from './each-in-turn.ts'
import { newEvent } from './event.ts'
import { selects } from './selector.ts'
import type { OpenVault } from './vault-access.ts'

/** Repositories judged in one sweep. */
const SWEEP = 20
/** Removals carried on in one sweep. */
const MAX_REMOVALS = 500
/** Labels that say for how long a volume's snapshots are kept, the first one found counts. */
const LABELS = ['holdfast.retention', 'retention'] as const

export interface RetentionDeps extends Basics {
  readonly snapshots: SnapshotsStore
  readonly fleet: Pick<FleetStore, 'sources' | 'host'>
  readonly policies: Pick<PoliciesStore, 'list' | 'find'>
  readonly openVault: OpenVault
}

/** The snapshots of one source, newest first, each with why it is kept; none: it would be forgotten. */
export interface JudgedSource {
  readonly host: string
  readonly hostName: string
  readonly source: string
  /** The policies that cover it. */
  readonly policies: readonly string[]
  /** The label that takes the place of their rules. */
  readonly label: string | null
  readonly minimum: number
  readonly judged: readonly Judgement<KeptSnapshot>[]
}

export function createRetention(deps: RetentionDeps) {
  const { snapshots, fleet, policies, openVault, clock } = deps

  /** What covers a source, or claimed snapshots of it. One that left the host is covered as it was last seen. */
  function covering(
    all: readonly Policy[],
    source: FleetSource | undefined,
    group: readonly KeptSnapshot[],
  ): Policy[] {
    const claims = new Set(group.map(({ claimedBy }) => claimedBy))
    return all.filter(
      ({ name, document }) =>
        claims.has(name) || (source !== undefined && selects(document.select, source)),
    )
  }

  function labelOf(source: FleetSource | undefined): string | undefined {
    for (const label of LABELS) {
      const text = source?.labels[label]
      const span = text === undefined ? undefined : spanOfLabel(text)
      if (span !== undefined) return span
    }
    return undefined
  }

  function rulesOf(
    covers: readonly Policy[],
    label: string | undefined,
  ): (KeepRules | undefined)[] {
    if (label !== undefined && covers.length > 0) return [{ 'keep-within': label }]
    return covers.map(({ document }) => document.retention)
  }

  async function judge(repository: RepositoryDue, now: Instant): Promise<JudgedSource[]> {
    const kept = await snapshots.kept(repository.id)
    if (kept.length === 0) return []
    const sources = await fleet.sources({ host: repository.host, gone: true })
    const live = await policies.list()
    const floor = now - repository.retentionFloorDays * DAY
    return [...Map.groupBy(kept, ({ source }) => source)]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, group]) => {
        const source = sources.find((one) => one.source === name)
        const covers = covering(live, source, group)
        const label = labelOf(source)
        const minimum = Math.max(
          1,
          ...covers.map(({ document }) => document.retention?.minimum ?? 1),
        )
        return {
          host: repository.host,
          hostName: repository.hostName,
          source: name,
          policies: covers.map((policy) => policy.name),
          label: label ?? null,
          minimum,
          judged: decide(group, rulesOf(covers, label), { minimum, floor }, now),
        }
      })
  }

  /** Forgets what nothing keeps. A snapshot that somebody took hold of meanwhile stays. */
  async function apply(repository: RepositoryDue): Promise<number> {
    // Noted first: a snapshot that comes while we judge makes the repository due again.
    const now = clock.now()
    let begun = 0
    for (const { source, policies: names, label, minimum, judged } of await judge(
      repository,
      now,
    )) {
      // Oldest first, so that dying half-way leaves a history without holes.
      for (const { snapshot, reasons } of judged.toReversed()) {
        if (reasons.length > 0) continue
        const event = newEvent(deps, {
          actor: 'system',
          action: 'snapshot.forgetting',
          target: `snapshot:${snapshot.id}`,
          outcome: 'ok',
          host: repository.host,
          details: {
            repository: repository.id,
            source,
            time: new Date(snapshot.time).toISOString(),
            policies: names.join(', ').slice(0, 1_000),
            label,
          },
        })
        const least = Math.max(1, minimum)
        if (await snapshots.beginForgetting(snapshot.id, least, now, { events: [event] })) begun++
      }
    }
    await snapshots.judged(repository.id, now)
    return begun
  }

  /** If we die after the removal it is removed again, which is fine, and then noted. */
  async function carryOn(): Promise<number> {
    const waiting = await snapshots.forgetting(MAX_REMOVALS)
    await eachInTurn(waiting, async ({ id, repository, host, vault }) => {
      const { objects } = await openVault(vault)
      await objects.remove(smallKey(repository, 'snapshot', id))
      const event = newEvent(deps, {
        actor: 'system',
        action: 'snapshot.forgotten',
        target: `snapshot:${id}`,
        outcome: 'ok',
        host,
        details: { repository },
      })
      await snapshots.forgotten(id, clock.now(), { events: [event] })
    })
    return waiting.length
  }

  return {
    /** After accepted commits and once a day. For a timer, every minute. Resolves to how many were forgotten. */
    async sweep(): Promise<number> {
      const due = await snapshots.toJudge(clock.now() - DAY, SWEEP)
      await eachInTurn(due, async (repository) => {
        await apply(repository)
      })
      return carryOn()
    },

    /** What would happen now to the snapshots of a host, or of all sources a policy covers. */
    async preview(
      wanted: { host?: string | undefined; policy?: string | undefined },
      page: { after?: string | undefined; limit: number },
    ): Promise<{ sources: JudgedSource[]; next: string | undefined }> {
      const policy = wanted.policy === undefined ? undefined : await policies.find(wanted.policy)
      if (wanted.policy !== undefined && policy === undefined) {
        throw new HoldfastError('not-found', `there is no policy "${wanted.policy}"`)
      }
      const host = wanted.host === undefined ? undefined : await fleet.host(wanted.host)
      if (wanted.host !== undefined && host === undefined) {
        throw new HoldfastError('not-found', `there is no host "${wanted.host}"`)
      }
      const sources = await fleet.sources({ host: host?.id, gone: true })
      const covered = sources.filter(
        (source) => policy === undefined || selects(policy.document.select, source),
      )
      const hosts = host === undefined ? [...new Set(covered.map((one) => one.host))] : [host.id]
      const found: JudgedSource[] = []
      for (const id of hosts.sort()) {
        // Whole hosts are judged; those before the page are left out unread.
        if (page.after !== undefined && id < page.after.split(' ')[0]!) continue
        const repository = await snapshots.ofHost(id)
        if (repository === undefined) continue
        for (const one of await judge(repository, clock.now())) {
          if (policy !== undefined && !one.policies.includes(policy.name)) continue
          if (page.after !== undefined && placeOf(one) <= page.after) continue
          found.push(one)
        }
        if (found.length > page.limit) break
      }
      const shown = found.slice(0, page.limit)
      const last = shown.at(-1)
      const more = found.length > shown.length && last !== undefined
      return { sources: shown, next: more ? placeOf(last) : undefined }
    },

    /** Keeps a snapshot whatever policies say, until the hold is released. */
    async hold(id: string, why: string | null, by: Identity): Promise<void> {
      const event = newEvent(deps, {
        actor: actorOf(by),
        action: 'hold.added',
        target: `snapshot:${id}`,
        outcome: 'ok',
        details: { why },
      })
      const holder = { at: clock.now(), actor: actorOf(by), why }
      // False: it is held already, and stays as it is.
      await snapshots.hold(id, holder, { events: [event] })
    },

    async release(id: string, by: Identity): Promise<void> {
      const event = newEvent(deps, {
        actor: actorOf(by),
        action: 'hold.released',
        target: `snapshot:${id}`,
        outcome: 'ok',
        details: {},
      })
      await snapshots.release(id, { events: [event] })
    },

    /** Puts a foreign snapshot under the rules of whatever covers its source. */
    async claim(id: string, policy: string, by: Identity): Promise<boolean> {
      if ((await policies.find(policy)) === undefined) {
        throw new HoldfastError('not-found', `there is no policy "${policy}"`)
      }
      const event = newEvent(deps, {
        actor: actorOf(by),
        action: 'snapshot.claimed-by-policy',
        target: `snapshot:${id}`,
        outcome: 'ok',
        details: { policy },
      })
      return snapshots.claim(id, policy, clock.now(), { events: [event] })
    },
  }
}
export type Retention = ReturnType<typeof createRetention>

/** Where a source stands in the listing: by host, then by source. */
function placeOf({ host, source }: { host: string; source: string }): string {
  return `${host} ${source}`
}
