// Policies: applied, listed, deleted.

import { canonicalJson, type Json } from '../../shared/canonical-json.ts'
import { formatInstant, type Instant } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import { newId } from '../../shared/ids.ts'
import type { PolicyDocument } from '../../shared/policy/document.ts'
import { nextFire } from '../../shared/policy/schedule.ts'
import type { FleetSource, FleetStore } from '../ports/store/fleet.ts'
import type { PoliciesStore, Policy } from '../ports/store/policies.ts'
import { actorOf, type Identity } from './access.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import { InvalidFields } from './problem.ts'
import { selects } from './selector.ts'

export interface CoveredPolicy {
  readonly policy: Policy
  /** Sources it covers right now. */
  readonly covers: readonly FleetSource[]
}

export type Policies = ReturnType<typeof createPolicies>

/** Attempts at a change that somebody else keeps winning. */
const ATTEMPTS = 3

export function createPolicies(
  deps: Basics & {
    store: PoliciesStore
    fleet: Pick<FleetStore, 'sources'>
    /** Tells jobs of the policy that run what it allows now. */
    applied: (name: string) => Promise<void>
  },
) {
  const { store, clock } = deps

  async function find(name: string): Promise<Policy> {
    const found = await store.find(name)
    if (found === undefined) throw new HoldfastError('not-found', `there is no policy "${name}"`)
    return found
  }

  async function withCoverage(policies: readonly Policy[]): Promise<CoveredPolicy[]> {
    const sources = await deps.fleet.sources({ gone: false })
    return policies.map((policy) => ({
      policy,
      covers: sources.filter((source) => selects(policy.document.select, source)),
    }))
  }

  /** One try; undefined when somebody was faster. */
  async function applyOnce(
    document: PolicyDocument,
    expected: number | undefined,
    by: Identity,
  ): Promise<{ policy: Policy; change: 'created' | 'replaced' | 'unchanged' } | undefined> {
    const now = clock.now()
    const found = await store.find(document.name)
    if (expected !== undefined && expected !== (found?.version ?? 0)) {
      throw new HoldfastError(
        'conflict',
        found === undefined
          ? `there is no policy "${document.name}", so it has no version ${expected}`
          : `policy "${document.name}" is at version ${found.version}, not ${expected}`,
        { hint: 'read it again and decide anew' },
      )
    }
    if (found !== undefined && same(found.document, document)) {
      return { policy: found, change: 'unchanged' }
    }
    const keepsSchedule = found !== undefined && same(found.document.schedule, document.schedule)
    const policy: Policy = {
      id: found?.id ?? newId(clock, deps.random),
      name: document.name,
      document,
      version: (found?.version ?? 0) + 1,
      createdAt: found?.createdAt ?? now,
      updatedAt: now,
      // With the same schedule a slot that is due this very moment must not be lost.
      nextAt: keepsSchedule ? found.nextAt : firstSlot(document, now),
    }
    const event = newEvent(deps, {
      actor: actorOf(by),
      action: 'policy.applied',
      target: `policy:${policy.name}`,
      outcome: 'ok',
      details: {
        version: policy.version,
        cron: document.schedule?.cron ?? null,
        timezone: document.schedule?.timezone ?? null,
        next: policy.nextAt === null ? null : formatInstant(policy.nextAt),
      },
    })
    const stored =
      found === undefined
        ? await store.insert(policy, { events: [event] })
        : await store.replace(policy, found.version, { events: [event] })
    return stored ? { policy, change: found === undefined ? 'created' : 'replaced' } : undefined
  }

  return {
    /**
     * Makes the policy be as the document says. `expected` is the version it must have (0: none yet).
     * The same document again changes nothing.
     */
    async apply(document: PolicyDocument, expected: number | undefined, by: Identity) {
      for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
        const applied = await applyOnce(document, expected, by)
        if (applied === undefined) continue
        // Also when nothing changed: an earlier call may have died between the change and this.
        await deps.applied(document.name)
        const [covered] = await withCoverage([applied.policy])
        return { ...covered!, change: applied.change }
      }
      throw new HoldfastError('conflict', `policy "${document.name}" keeps changing; try again`)
    },

    async list(): Promise<CoveredPolicy[]> {
      return withCoverage(await store.list())
    },

    async show(name: string): Promise<CoveredPolicy> {
      return (await withCoverage([await find(name)]))[0]!
    },

    async remove(name: string, expected: number | undefined, by: Identity): Promise<void> {
      const policy = await find(name)
      const event = newEvent(deps, {
        actor: actorOf(by),
        action: 'policy.deleted',
        target: `policy:${policy.name}`,
        outcome: 'ok',
        details: { version: policy.version },
      })
      const wanted = { ...policy, version: expected ?? policy.version }
      if (!(await store.remove(wanted, clock.now(), { events: [event] }))) {
        throw new HoldfastError(
          'conflict',
          `policy "${name}" is at version ${policy.version} now`,
          {
            hint: 'read it again and decide anew',
          },
        )
      }
    },
  }
}

function firstSlot(document: PolicyDocument, now: Instant): Instant | null {
  if (document.schedule === undefined) return null
  const next = nextFire(document.schedule, now)
  if (next !== undefined) return next
  throw new InvalidFields([
    { path: ['schedule', 'cron'], message: `cron "${document.schedule.cron}" never fires` },
  ])
}

function same(a: unknown, b: unknown): boolean {
  if (a === undefined || b === undefined) return a === b
  return canonicalJson(a as Json) === canonicalJson(b as Json)
}
