// Stopping the containers that use a volume, and starting again exactly those that ran.
import type { Engine, EngineContainer } from './engine.ts'

const PROJECT = 'com.docker.compose.project'
const SERVICE = 'com.docker.compose.service'
/** `db:service_healthy:false,cache:service_started:true`, set by Compose on what depends on others. */
const DEPENDS_ON = 'com.docker.compose.depends_on'

/** A container that was stopped, and how to bring it back. */
export interface StoppedContainer {
  readonly id: string
  readonly name: string
  readonly wasPaused: boolean
}

function isUp(container: EngineContainer): boolean {
  return ['running', 'paused', 'restarting'].includes(container.state)
}

/** The containers that are up and mount `volume`. */
export function usersOfVolume(
  containers: readonly EngineContainer[],
  volume: string,
): EngineContainer[] {
  return containers.filter(
    (c) => isUp(c) && c.mounts.some((m) => m.type === 'volume' && m.name === volume),
  )
}

function dependenciesOf(container: EngineContainer): string[] {
  const text = container.labels[DEPENDS_ON] ?? ''
  return text
    .split(',')
    .map((entry) => entry.split(':')[0]!.trim())
    .filter((service) => service !== '')
}

/**
 * The order to stop them in: what depends on others first (as Compose says in its labels), the rest as
 * they come. Starting goes the other way round. A circle of dependencies is cut where it closes.
 */
export function stopOrder(containers: readonly EngineContainer[]): EngineContainer[] {
  const startFirst: EngineContainer[] = []
  const seen = new Set<EngineContainer>()
  const visit = (container: EngineContainer): void => {
    if (seen.has(container)) return
    seen.add(container)
    for (const service of dependenciesOf(container)) {
      for (const other of containers) {
        const same = other.labels[PROJECT] === container.labels[PROJECT]
        if (same && other.labels[SERVICE] === service) visit(other)
      }
    }
    startFirst.push(container)
  }
  for (const container of containers) visit(container)
  return startFirst.reverse()
}

/** What became of a container that was to be brought back; `up`: it ran already. */
export type BroughtBack = 'started' | 'up' | 'gone'

/**
 * Bring one container back as it was. One that is `up` is left alone unless `settled`: its stop may still be under
 * way, because the engine carries on with it after whoever asked has died.
 */
export async function startAgain(
  engine: Engine,
  stopped: StoppedContainer,
  settled: boolean,
): Promise<BroughtBack> {
  const found = (await engine.containers()).find(({ id }) => id === stopped.id)
  if (found === undefined) return 'gone' // nobody but its owner can make it again
  if (isUp(found)) {
    if (settled && stopped.wasPaused && found.state !== 'paused') await engine.pause(stopped.id)
    return 'up'
  }
  if (!(await engine.start(stopped.id))) return 'gone'
  if (stopped.wasPaused) await engine.pause(stopped.id)
  return 'started'
}

/** How `container` is brought back after a stop. */
export function asStopped(container: EngineContainer): StoppedContainer {
  return { id: container.id, name: container.name, wasPaused: container.state === 'paused' }
}
