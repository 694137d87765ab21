// Where the agent sees a volume's files.
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { EngineInfo, EngineVolume } from './engine.ts'
import { type Mount, mountAt } from './mountinfo.ts'

/**
 * Where the engine's own folder of volumes lies in the agent's file tree. On the host it is the same
 * path; in a container it is wherever the folder was bound to. Undefined: it cannot be seen.
 */
export function findVolumesRoot(view: {
  info: EngineInfo
  /** The engine runs on this machine. */
  local: boolean
  /** `HOLDFAST_VOLUMES_ROOT`: the operator says where. */
  configured: string | undefined
  mounts: readonly Mount[]
  exists?: (path: string) => boolean
}): string | undefined {
  const { info, local, configured, mounts } = view
  const exists = view.exists ?? existsSync
  if (configured !== undefined) return exists(configured) ? configured : undefined
  if (!local) return undefined
  const folder = join(info.dockerRoot, 'volumes')
  // A bind of that folder shows it as the mount's root: whole, or below the file system it lies on.
  const bound = mounts
    .filter((mount) => mount.root !== '/' && `${folder}/`.endsWith(`${mount.root}/`))
    .sort((a, b) => b.root.length - a.root.length)
    .find((mount) => mount.root.endsWith('/volumes'))
  if (bound !== undefined && exists(bound.mountPoint)) return bound.mountPoint
  return exists(folder) ? folder : undefined
}

/** The volume's `_data` as the agent sees it; other drivers say themselves where their volumes lie. */
export function volumeDataPath(
  volume: EngineVolume,
  info: EngineInfo,
  volumesRoot: string | undefined,
): string | undefined {
  const own = `${join(info.dockerRoot, 'volumes')}/`
  if (!volume.mountpoint.startsWith(own)) return volume.mountpoint || undefined
  return volumesRoot === undefined
    ? undefined
    : join(volumesRoot, volume.mountpoint.slice(own.length))
}

/** Does the engine have to mount something before the volume shows its files? */
export function needsMount(volume: EngineVolume): boolean {
  return volume.driver !== 'local' || Object.keys(volume.options).length > 0
}

/** A tmpfs volume lives in memory and only while a container uses it: there is nothing to keep. */
export function isTmpfs(volume: EngineVolume): boolean {
  return volume.driver === 'local' && volume.options.type === 'tmpfs'
}

export function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}

/** The id of the mount on `path` right now; undefined when nothing is mounted there. */
export function mountIdAt(mounts: readonly Mount[], path: string): number | undefined {
  return mountAt(mounts, path)?.id
}
