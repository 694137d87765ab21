// What agents tell outside of jobs: that they live, what their hosts have, what they noticed.
import type * as z from 'zod'
import type { Inventory } from '../../shared/backup/inventory.ts'
import { formatSource, sourceReference } from '../../shared/backup/source.ts'
import type { AgentEvent, eventsRequest } from '../../shared/protocol/calls.ts'
import type { AgentReportsStore, EventPosition, FoundSource } from '../ports/store/agent-reports.ts'
import type { Host, HostsStore } from '../ports/store/hosts.ts'
import { alertMessage } from './alert-message.ts'
import type { Basics } from './deps.ts'
import { newEvent } from './event.ts'

export interface AgentEventsDeps extends Basics {
  readonly reports: AgentReportsStore
  readonly hosts: Pick<HostsStore, 'find'>
}

/** Notices people must know of at once; the others are for the log. */
const alarming = new Set(['state-disk-full', 'docker-unreachable', 'restore-rolled-back'])

/** Volumes and offered directories that can be named as sources. */
export function sourcesOf(inventory: Inventory): FoundSource[] {
  const found = new Map<string, FoundSource>()
  const add = (reference: unknown, details: unknown) => {
    const parsed = sourceReference.safeParse(reference)
    if (!parsed.success) return
    const { data } = parsed
    const source = formatSource(data)
    found.set(source, {
      source,
      kind: data.kind,
      name: data.kind === 'volume' ? data.name : data.path,
      details: JSON.stringify(details),
    })
  }
  for (const volume of inventory.volumes) add({ kind: 'volume', name: volume.name }, volume)
  const usedBy = new Map(inventory.mounts.map((mount) => [mount.path, mount.usedBy]))
  for (const path of inventory.directories) {
    add({ kind: 'directory', path }, { usedBy: usedBy.get(path) ?? [] })
  }
  return [...found.values()]
}

export function createAgentEvents(deps: AgentEventsDeps) {
  const { reports, hosts, clock } = deps

  async function takeAlive(
    position: EventPosition,
    host: Host,
    event: Extract<AgentEvent, { kind: 'alive' }>,
  ): Promise<void> {
    const free = event.freeStateBytes ?? null
    if (host.silentSince === null) {
      await reports.alive(position, free, undefined)
      return
    }
    const minutes = Math.round((position.at - host.silentSince) / 60_000)
    await reports.alive(position, free, {
      events: [
        newEvent(deps, {
          actor: `host:${host.id}`,
          action: 'host.back',
          target: `host:${host.id}`,
          outcome: 'ok',
          host: host.id,
          details: { silentMinutes: minutes },
        }),
      ],
      messages: [
        alertMessage(deps, 'host-back', {
          hostname: host.name,
          message: `Host ${host.name} is back after ${minutes} minutes of silence.`,
        }),
      ],
    })
  }

  async function takeInventory(
    position: EventPosition,
    host: Host,
    inventory: Inventory,
  ): Promise<void> {
    const found = sourcesOf(inventory)
    const before = new Set(await reports.presentSources(host.id))
    const now = new Set(found.map(({ source }) => source))
    const appeared = [...now].filter((source) => !before.has(source))
    const gone = [...before].filter((source) => !now.has(source))
    const event = newEvent(deps, {
      actor: `host:${host.id}`,
      action: 'inventory.changed',
      target: `host:${host.id}`,
      outcome: 'ok',
      host: host.id,
      details: {
        sources: now.size,
        appeared: appeared.length,
        gone: gone.length,
        ...(appeared.length === 0 ? {} : { firstAppeared: appeared[0]! }),
        ...(gone.length === 0 ? {} : { firstGone: gone[0]! }),
      },
    })
    const same = appeared.length + gone.length === 0
    await reports.inventory(position, inventory, found, same ? undefined : { events: [event] })
  }

  async function takeNotice(
    position: EventPosition,
    host: Host,
    event: Extract<AgentEvent, { kind: 'notice' }>,
  ): Promise<void> {
    const { code, message } = event
    const noticed = newEvent(deps, {
      actor: `host:${host.id}`,
      action: 'host.notice',
      target: `host:${host.id}`,
      outcome: 'ok',
      host: host.id,
      details: { code, message },
    })
    const alert = () =>
      alertMessage(deps, 'host-notice', {
        hostname: host.name,
        message: `Host ${host.name}: ${message}`,
      })
    await reports.notice(position, {
      events: [noticed],
      ...(alarming.has(code) ? { messages: [alert()] } : {}),
    })
  }

  return {
    /**
     * Takes events in order, each once. Resolves to the newest one taken of that boot, which need not be the
     * boot that speaks: an outbox outlives its agent's restarts.
     */
    async take(
      agent: { readonly host: string },
      request: z.infer<typeof eventsRequest>,
    ): Promise<{ acknowledged: number }> {
      const { boot } = request
      let taken = await reports.last(agent.host, boot)
      for (const { seq, event } of [...request.events].sort((a, b) => a.seq - b.seq)) {
        if (seq <= taken) continue
        // Our own time of receipt: the agent's clock may be wrong.
        const position: EventPosition = { host: agent.host, boot, seq, at: clock.now() }
        const host = await hosts.find(agent.host)
        if (host === undefined) break
        // If we die after one of these, the next request begins behind it.
        if (event.kind === 'alive') await takeAlive(position, host, event)
        else if (event.kind === 'inventory') await takeInventory(position, host, event.inventory)
        else await takeNotice(position, host, event)
        taken = seq
      }
      return { acknowledged: taken }
    },
  }
}
export type AgentEvents = ReturnType<typeof createAgentEvents>
