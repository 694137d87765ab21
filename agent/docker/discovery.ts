// What is on this host, from the engine's lists: volumes, bind mounts, containers, and who uses what.
import type { Inventory, InventoryVolume } from '../../shared/backup/inventory.ts'
import { formatInstant, type Instant } from '../../shared/clock.ts'
import type { Engine, EngineContainer, EngineInfo, EngineVolume } from './engine.ts'
import { HOLDER_LABEL } from './holder.ts'
import { isTmpfs } from './volume-path.ts'

const PROJECT = 'com.docker.compose.project'
const SERVICE = 'com.docker.compose.service'
/** Set by engines since 23 on volumes made without a name. */
const ANONYMOUS = 'com.docker.volume.anonymous'

/** Limits of the inventory's shape; what is beyond them is cut. */
const MOST_USERS = 1_000
const MOST_ENTRIES = 20_000
const LONGEST_NAME = 255

function isAnonymous(volume: EngineVolume): boolean {
  const labels = Object.keys(volume.labels).filter((label) => label !== ANONYMOUS)
  return /^[0-9a-f]{64}$/.test(volume.name) && labels.length === 0
}

function grouping(labels: Readonly<Record<string, string>>) {
  const project = labels[PROJECT]
  const service = labels[SERVICE]
  return {
    ...(project === undefined ? {} : { project: project.slice(0, LONGEST_NAME) }),
    ...(service === undefined ? {} : { service: service.slice(0, LONGEST_NAME) }),
  }
}

/** A volume belongs to the service that uses it, when only one does and its own labels do not say. */
function groupingOf(volume: EngineVolume, users: readonly EngineContainer[]) {
  const own = grouping(volume.labels)
  const services = new Set(users.map((user) => `${user.labels[PROJECT]}/${user.labels[SERVICE]}`))
  const first = users[0]
  return services.size === 1 && first !== undefined ? { ...grouping(first.labels), ...own } : own
}

function volumeOf(volume: EngineVolume, users: readonly EngineContainer[]): InventoryVolume {
  const created = volume.createdAt === undefined ? Number.NaN : Date.parse(volume.createdAt)
  return {
    name: volume.name,
    driver: volume.driver,
    optionNames: Object.keys(volume.options).sort(),
    labels: { ...volume.labels },
    anonymous: isAnonymous(volume),
    ...(Number.isNaN(created) ? {} : { createdAt: formatInstant(created) }),
    mountpoint: volume.mountpoint,
    ...groupingOf(volume, users),
    ...(isTmpfs(volume)
      ? { unsupported: 'tmpfs: its files live in memory and are gone when no container uses it' }
      : {}),
    usedBy: users.map((user) => user.name).slice(0, MOST_USERS),
  }
}

/** Containers by the thing they mount. */
function usersOf<K>(
  containers: readonly EngineContainer[],
  keysOf: (container: EngineContainer) => Iterable<K>,
): Map<K, EngineContainer[]> {
  const users = new Map<K, EngineContainer[]>()
  for (const container of containers) {
    for (const key of new Set(keysOf(container))) {
      const list = users.get(key)
      if (list === undefined) users.set(key, [container])
      else list.push(container)
    }
  }
  return users
}

function byName<T extends { name: string }>(a: T, b: T): number {
  return a.name < b.name ? -1 : 1
}

/** The inventory of an engine's lists; our own holders do not count as users. Pure. */
export function describeEngine(lists: {
  at: Instant
  info: EngineInfo
  volumes: readonly EngineVolume[]
  containers: readonly EngineContainer[]
  directories: readonly string[]
}): Inventory {
  const containers = lists.containers
    .filter((container) => container.labels[HOLDER_LABEL] === undefined)
    .toSorted(byName)
  const volumeUsers = usersOf(containers, (c) =>
    c.mounts.flatMap((m) => (m.type === 'volume' && m.name !== undefined ? [m.name] : [])),
  )
  const bindUsers = usersOf(containers, (c) =>
    c.mounts.flatMap((m) => (m.type === 'bind' ? [m.source] : [])),
  )
  const { version, name, dockerRoot, rootless, userns, selinux } = lists.info
  return {
    at: formatInstant(lists.at),
    engine: { version, name, dockerRoot, rootless, userns, selinux },
    volumes: lists.volumes
      .map((volume) => volumeOf(volume, volumeUsers.get(volume.name) ?? []))
      .toSorted(byName)
      .slice(0, MOST_ENTRIES),
    mounts: [...bindUsers]
      .map(([path, users]) => ({
        path,
        usedBy: users.map((user) => user.name).slice(0, MOST_USERS),
      }))
      .toSorted((a, b) => (a.path < b.path ? -1 : 1))
      .slice(0, MOST_ENTRIES),
    containers: containers.slice(0, MOST_ENTRIES).map((container) => ({
      id: container.id,
      name: container.name,
      image: container.image,
      state: container.state,
      labels: { ...container.labels },
      ...grouping(container.labels),
    })),
    directories: [...lists.directories],
  }
}

/** The inventory of a host without an engine: the directories its own file offers. */
export function describeDirectories(at: Instant, directories: readonly string[]): Inventory {
  return {
    at: formatInstant(at),
    volumes: [],
    mounts: [],
    containers: [],
    directories: [...directories],
  }
}

/** Ask the engine for everything, and describe it. */
export async function takeInventory(
  engine: Engine,
  now: () => Instant,
  directories: readonly string[],
): Promise<Inventory> {
  const [info, volumes, containers] = await Promise.all([
    engine.info(),
    engine.volumes(),
    engine.containers(),
  ])
  return describeEngine({ at: now(), info, volumes, containers, directories })
}
