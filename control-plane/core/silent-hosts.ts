// A host that missed three signs of life is silent: said once, until it is heard of again.
import { formatInstant, type Instant, MINUTE, SECOND } from '../../shared/clock.ts'
import type { SilenceStore } from '../ports/store/silence.ts'
import { alertMessage } from './alert-message.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'

/** An agent says `alive` every five minutes; the third may be this late by the network. */
export const ALIVE_EVERY = 5 * MINUTE
const LATENESS = 30 * SECOND
export const SILENT_AFTER = 3 * ALIVE_EVERY + LATENESS

export type SilentHosts = ReturnType<typeof createSilentHosts>

export function createSilentHosts(deps: Basics & { store: SilenceStore }) {
  return {
    /**
     * Calls silent whoever is. `startedAt` is when this control plane began to listen: hosts are not blamed
     * for what they said while nobody was there. For a timer of about a minute. Resolves to how many.
     */
    async check(startedAt: Instant): Promise<number> {
      const now = deps.clock.now()
      if (now - startedAt < SILENT_AFTER) return 0
      let count = 0
      for (const host of await deps.store.quiet(now - SILENT_AFTER)) {
        const minutes = Math.floor((now - host.lastSeen) / MINUTE)
        const seen = formatInstant(host.lastSeen)
        const event = newEvent(deps, {
          actor: 'system',
          action: 'host.silent',
          target: `host:${host.id}`,
          outcome: 'ok',
          host: host.id,
          details: { name: host.name, last_seen: seen },
        })
        const message = alertMessage(deps, 'host-silent', {
          hostname: host.name,
          message: `Host ${host.name} has not been heard of for ${minutes} minutes, since ${seen}. Its backups do not run. Check that the machine, its network and the agent are up.`,
        })
        if (await deps.store.markSilent(host, { events: [event], messages: [message] })) count++
      }
      return count
    },
  }
}
