// The few calls of the Docker Engine API the agent makes, with the engine's answers cut down to what we use.
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import type Docker from 'dockerode'
import type { Duration } from '../../shared/clock.ts'
import { SECOND } from '../../shared/clock.ts'
import type { DockerAddress } from './address.ts'

/** Patience for one answer; starting a container mounts its volumes first, which may take a while over NFS. */
const PATIENCE: Duration = 120 * SECOND

export interface EngineInfo {
  readonly version: string
  readonly name: string
  readonly dockerRoot: string
  readonly rootless: boolean
  readonly userns: boolean
  readonly selinux: boolean
}

export interface EngineVolume {
  readonly name: string
  readonly driver: string
  readonly options: Readonly<Record<string, string>>
  readonly labels: Readonly<Record<string, string>>
  readonly mountpoint: string
  readonly createdAt: string | undefined
}

export interface EngineMount {
  readonly type: string
  /** Volume name; undefined for a bind mount. */
  readonly name: string | undefined
  /** Host path. */
  readonly source: string
}

export interface EngineContainer {
  readonly id: string
  readonly name: string
  readonly image: string
  /** created, running, paused, restarting, exited, dead. */
  readonly state: string
  readonly labels: Readonly<Record<string, string>>
  readonly mounts: readonly EngineMount[]
}

export interface EngineEvent {
  readonly type: string
  readonly action: string
}

export interface NewContainer {
  readonly image: string
  readonly command: readonly string[]
  readonly labels: Readonly<Record<string, string>>
  readonly binds: readonly { source: string; target: string }[]
  readonly volume: { name: string; target: string }
  readonly selinux: boolean
}

/** Absence is undefined or false; every other failure rejects with the engine's own words. */
export interface Engine {
  info(): Promise<EngineInfo>
  volumes(): Promise<EngineVolume[]>
  volume(name: string): Promise<EngineVolume | undefined>
  createVolume(definition: {
    name: string
    driver: string
    options: Readonly<Record<string, string>>
    labels: Readonly<Record<string, string>>
  }): Promise<EngineVolume>
  containers(): Promise<EngineContainer[]>
  /** Does the engine remove this container as soon as it stops? Undefined: no such container. */
  removesItself(container: string): Promise<boolean | undefined>
  /** Already stopped is fine. */
  stop(container: string): Promise<void>
  /** Already running is fine. False: no such container. */
  start(container: string): Promise<boolean>
  pause(container: string): Promise<void>
  hasImage(name: string): Promise<boolean>
  /** An image without a single file. */
  importEmptyImage(name: string): Promise<void>
  createContainer(container: NewContainer): Promise<string>
  /** Removes it, running or not; absent is fine. */
  remove(container: string): Promise<void>
  /** Events of volumes and containers until `signal` is aborted; rejects when the stream breaks. */
  watch(signal: AbortSignal, onEvent: (event: EngineEvent) => void): Promise<void>
}

/** The HTTP status of a refusal, or undefined if no answer came. */
export function statusOf(error: unknown): number | undefined {
  const status = (error as { statusCode?: unknown } | null)?.statusCode
  return typeof status === 'number' ? status : undefined
}

/** The engine's own words, without the client's decoration. */
export function engineMessage(error: unknown): string {
  const message = (error as { json?: { message?: unknown } } | null)?.json?.message
  if (typeof message === 'string') return message
  return error instanceof Error ? error.message : String(error)
}

/** Two blocks of zeros: the end of a tar archive, and all of an empty one. */
const EMPTY_TAR = Buffer.alloc(1_024)

function volumeOf(volume: Docker.VolumeInspectInfo): EngineVolume {
  return {
    name: volume.Name,
    driver: volume.Driver,
    options: volume.Options ?? {},
    labels: volume.Labels ?? {},
    mountpoint: volume.Mountpoint,
    createdAt: (volume as { CreatedAt?: string }).CreatedAt,
  }
}

function containerOf(container: Docker.ContainerInfo): EngineContainer {
  return {
    id: container.Id,
    name: (container.Names[0] ?? container.Id).replace(/^\//, ''),
    image: container.Image,
    state: container.State,
    labels: container.Labels ?? {},
    mounts: (container.Mounts ?? []).map((mount) => ({
      type: mount.Type,
      name: mount.Name,
      source: mount.Source,
    })),
  }
}

/** Resolves with `otherwise` when the engine answered `status`. */
async function unless<T>(status: number, otherwise: T, call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (error) {
    if (statusOf(error) === status) return otherwise
    throw error
  }
}

/** Connects at the first call. The client's modules are loaded here and not before: a host may have no Docker. */
export async function connectEngine(address: DockerAddress): Promise<Engine> {
  const { default: Client } = await import('dockerode')
  const docker: Docker = new Client({ ...address.options, timeout: PATIENCE })
  /** Streams of events are silent for as long as nothing happens. */
  const patient: Docker = new Client({ ...address.options })
  return {
    async info() {
      const info = await docker.info()
      const security: string[] = info.SecurityOptions ?? []
      const has = (name: string) => security.some((o) => o.split(',').includes(`name=${name}`))
      return {
        version: info.ServerVersion,
        name: info.Name,
        dockerRoot: info.DockerRootDir,
        rootless: has('rootless'),
        userns: has('userns'),
        selinux: has('selinux'),
      }
    },
    async volumes() {
      const { Volumes } = await docker.listVolumes()
      return (Volumes ?? []).map(volumeOf)
    },
    async volume(name) {
      const found = await unless(404, undefined, docker.getVolume(name).inspect())
      return found === undefined ? undefined : volumeOf(found)
    },
    async createVolume({ name, driver, options, labels }) {
      await docker.createVolume({
        Name: name,
        Driver: driver,
        DriverOpts: { ...options },
        Labels: { ...labels },
      })
      return volumeOf(await docker.getVolume(name).inspect())
    },
    async containers() {
      return (await docker.listContainers({ all: true })).map(containerOf)
    },
    async removesItself(container) {
      const found = await unless(404, undefined, docker.getContainer(container).inspect())
      return found === undefined ? undefined : found.HostConfig.AutoRemove === true
    },
    async stop(container) {
      await unless(304, undefined, docker.getContainer(container).stop())
    },
    async start(container) {
      const started = docker.getContainer(container).start()
      return unless(
        404,
        false,
        unless(
          304,
          true,
          started.then(() => true),
        ),
      )
    },
    async pause(container) {
      await docker.getContainer(container).pause()
    },
    async hasImage(name) {
      return unless(
        404,
        false,
        docker
          .getImage(name)
          .inspect()
          .then(() => true),
      )
    },
    async importEmptyImage(name) {
      const [repo, tag] = name.split(':')
      const answer = await docker.importImage(Readable.from([EMPTY_TAR]), { repo, tag })
      for await (const _ of answer) {
        // The image exists once the answer was read to its end.
      }
    },
    async createContainer({ image, command, labels, binds, volume, selinux }) {
      const container = await docker.createContainer({
        Image: image,
        Entrypoint: [],
        Cmd: [...command],
        Labels: { ...labels },
        NetworkDisabled: true,
        HostConfig: {
          NetworkMode: 'none',
          CapDrop: ['ALL'],
          SecurityOpt: ['no-new-privileges', ...(selinux ? ['label=disable'] : [])],
          LogConfig: { Type: 'none', Config: {} },
          RestartPolicy: { Name: 'no' },
          Mounts: [
            ...binds.map(({ source, target }) => ({
              Type: 'bind' as const,
              Source: source,
              Target: target,
              ReadOnly: true,
            })),
            {
              Type: 'volume' as const,
              Source: volume.name,
              Target: volume.target,
              ReadOnly: false,
              VolumeOptions: { NoCopy: true, Labels: {}, DriverConfig: { Name: '', Options: {} } },
            },
          ],
        },
      })
      return container.id
    },
    async remove(container) {
      const removed = docker.getContainer(container).remove({ force: true })
      // 409: another removal of the same container is under way.
      await unless(409, undefined, unless(404, undefined, removed))
    },
    async watch(signal, onEvent) {
      const stream = await patient.getEvents({
        filters: { type: ['volume', 'container'] },
        abortSignal: signal,
      })
      for await (const line of createInterface({ input: stream })) {
        const event = JSON.parse(line) as { Type?: string; Action?: string }
        onEvent({ type: event.Type ?? '', action: event.Action ?? '' })
      }
    },
  }
}
