// The fleet as people see it: hosts, what they have, and what covers it.
import { MINUTE } from '../../shared/clock.ts'
import { HoldfastError } from '../../shared/errors.ts'
import type { FleetHost, FleetSource, FleetStore } from '../ports/store/fleet.ts'
import type { PoliciesStore } from '../ports/store/policies.ts'
import { actorOf, type Identity } from './access.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'
import { selects } from './selector.ts'

/** Three signs of life missed: one is due every five minutes. */
const SILENT_AFTER = 15 * MINUTE

export type HostState = 'never-seen' | 'alive' | 'silent'

export interface SourceCoverage {
  readonly source: FleetSource
  /** Names of the policies that cover it; empty: nobody backs it up. */
  readonly policies: readonly string[]
}

export type Fleet = ReturnType<typeof createFleet>

export function createFleet(
  deps: Basics & {
    store: FleetStore
    policies: Pick<PoliciesStore, 'list'>
    /** Ends the host's connections. */
    disconnect: (host: string, reason: string) => Promise<void>
  },
) {
  async function find(idOrName: string): Promise<FleetHost> {
    const host = await deps.store.host(idOrName)
    if (host === undefined) throw new HoldfastError('not-found', `there is no host "${idOrName}"`)
    return host
  }

  return {
    hosts: () => deps.store.hosts(),
    host: find,

    state(host: FleetHost): HostState {
      if (host.lastSeen === null) return 'never-seen'
      const silent = host.silentSince !== null || deps.clock.now() - host.lastSeen > SILENT_AFTER
      return silent ? 'silent' : 'alive'
    },

    /** Every source with the policies that cover it. */
    async sources(filter: { host?: string | undefined; gone: boolean }): Promise<SourceCoverage[]> {
      const host = filter.host === undefined ? undefined : (await find(filter.host)).id
      const policies = await deps.policies.list()
      const sources = await deps.store.sources({ host, gone: filter.gone })
      return sources.map((source) => ({
        source,
        policies: policies
          .filter((policy) => selects(policy.document.select, source))
          .map(({ name }) => name),
      }))
    },

    /** Takes a host out of the fleet. Its snapshots stay. */
    async remove(idOrName: string, by: Identity): Promise<void> {
      const host = await find(idOrName)
      const event = newEvent(deps, {
        actor: actorOf(by),
        action: 'host.removed',
        target: `host:${host.id}`,
        outcome: 'ok',
        host: host.id,
        details: { name: host.name },
      })
      if (!(await deps.store.removeHost(host.id, deps.clock.now(), { events: [event] }))) {
        await find(idOrName)
        throw new HoldfastError('in-use', `a job runs on host "${host.name}"`, {
          hint: 'cancel it or wait, then remove the host',
        })
      }
      await deps.disconnect(host.id, 'the host was removed from the fleet')
    },
  }
}
