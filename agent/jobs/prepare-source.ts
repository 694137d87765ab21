// Where a source's files are to be read.
import { statSync } from 'node:fs'
import type { SourceReference } from '../../shared/backup/source.ts'
import type { Engine, EngineInfo, EngineVolume } from '../docker/engine.ts'
import { holdVolume, NotMountedError } from '../docker/holder.ts'
import { currentMounts, mountAt } from '../docker/mountinfo.ts'
import {
  findVolumesRoot,
  isDirectory,
  isTmpfs,
  needsMount,
  volumeDataPath,
} from '../docker/volume-path.ts'
import { isReallyWithin } from './host-rules.ts'
import { JobRefusal } from './job-refusal.ts'
import type { PrepareDeps, ReadyJob } from './prepare.ts'

/** A volume that shows its files at `path` until `release`. */
export interface OpenVolume {
  readonly volume: EngineVolume
  readonly path: string
  /** Added to ids on disk to get those a container sees. */
  readonly idShift: number
  stillThere(): boolean
  release(): Promise<void>
}

/** The engine, or the refusal that says it does not answer. */
export function requireEngine(deps: PrepareDeps): Engine {
  const engine = deps.engine()
  if (engine === undefined) {
    throw new JobRefusal('source-missing', 'no Docker Engine answers on this host')
  }
  return engine
}

/**
 * With `userns-remap` the engine's root ends in the ids that container root has outside
 * (`/var/lib/docker/165536.165536`): what a container sees as 0 lies on disk as 165536.
 */
export function idShiftOf(info: EngineInfo): number {
  if (!info.userns) return 0
  const shifted = /\/(\d+)\.(\d+)\/?$/.exec(info.dockerRoot)
  if (shifted === null || shifted[1] !== shifted[2]) {
    throw new JobRefusal('internal-error', 'cannot tell how the engine shifts user ids')
  }
  return shifted[1] === '0' ? 0 : -Number(shifted[1])
}

/** The identity of a folder: the device and inode that show at `path`. */
function whatShows(path: string): string | undefined {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true })
  return stat === undefined ? undefined : `${stat.dev}:${stat.ino}`
}

/** Make `name` readable. Rejects with `JobRefusal`. */
export async function openVolume(deps: PrepareDeps, name: string): Promise<OpenVolume> {
  const engine = requireEngine(deps)
  const info = await engine.info()
  if (info.rootless) {
    throw new JobRefusal('rootless-unsupported', 'a rootless engine hides the files of its volumes')
  }
  const volume = await engine.volume(name)
  if (volume === undefined) throw new JobRefusal('source-missing', `there is no volume ${name}`)
  if (isTmpfs(volume)) {
    throw new JobRefusal('source-empty-mount', 'a tmpfs volume has no files on any disk')
  }
  const root = findVolumesRoot({
    info,
    local: deps.engineIsLocal,
    configured: deps.volumesRoot,
    mounts: currentMounts(),
  })
  const path = volumeDataPath(volume, info, root)
  if (path === undefined) {
    throw new JobRefusal(
      'source-empty-mount',
      "the agent cannot see the engine's volumes: bind their folder into its container (rw,rslave) or set HOLDFAST_VOLUMES_ROOT",
    )
  }
  const idShift = idShiftOf(info)
  if (needsMount(volume)) return openByHolder(deps, engine, info, volume, path, idShift)
  if (!isDirectory(path)) {
    throw new JobRefusal(
      'source-empty-mount',
      'the folder of the volume does not show in the file tree of the agent',
    )
  }
  const shown = whatShows(path)
  return {
    volume,
    path,
    idShift,
    stillThere: () => whatShows(path) === shown,
    release: async () => {},
  }
}

/** Held even while a container has it mounted: when that one stops, the engine would take the files away. */
async function openByHolder(
  deps: PrepareDeps,
  engine: Engine,
  info: EngineInfo,
  volume: EngineVolume,
  path: string,
  idShift: number,
): Promise<OpenVolume> {
  const { host, clock } = deps
  try {
    const holder = await holdVolume({ engine, info, volume: volume.name, path, host, clock })
    const isHeld = () => mountAt(currentMounts(), path)?.id === holder.mountId
    // The commit asks long after the files were read and the volume was let go of: the last look counts.
    let atRelease: boolean | undefined
    return {
      volume,
      path,
      idShift,
      stillThere: () => atRelease ?? isHeld(),
      async release() {
        atRelease ??= isHeld()
        await holder.release()
      },
    }
  } catch (error) {
    if (!(error instanceof NotMountedError)) throw error
    throw new JobRefusal('source-empty-mount', `the volume could not be mounted: ${error.message}`)
  }
}

/** Prepare the source of a backup. Rejects with `JobRefusal`. */
export async function prepareSource(
  deps: PrepareDeps,
  job: string,
  source: SourceReference,
): Promise<ReadyJob> {
  if (source.kind === 'directory') return prepareDirectory(deps, job, source.path)
  const opened = await openVolume(deps, source.name)
  const { driver, labels, options } = opened.volume
  return {
    prepared: {
      job,
      path: opened.path,
      idShift: opened.idShift,
      volume: { driver, labels: { ...labels }, options: { ...options } },
    },
    stillThere: () => opened.stillThere(),
    release: () => opened.release(),
    settle: async () => {},
  }
}

function prepareDirectory(deps: PrepareDeps, job: string, path: string): ReadyJob {
  if (!isReallyWithin(path, deps.rules.directories)) {
    throw new JobRefusal(
      'permission-denied',
      'the host\'s own file does not offer this directory; add it to "directories" in host.yaml',
    )
  }
  if (!isDirectory(path)) throw new JobRefusal('source-missing', 'there is no such directory')
  const shown = whatShows(path)
  return {
    prepared: { job, path, idShift: 0 },
    stillThere: () => whatShows(path) === shown,
    release: async () => {},
    settle: async () => {},
  }
}
