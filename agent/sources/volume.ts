import { createTreeSource, type DirectorySourceOptions } from './directory.ts'
import type { Source } from './source.ts'

/**
 * The Docker volume `name` whose content lies at `mountpoint` (where it is mounted right now, if it
 * needs mounting). In snapshots it is `/volumes/<name>` wherever Docker keeps it.
 */
export function createVolumeSource(
  name: string,
  mountpoint: string,
  options: DirectorySourceOptions = {},
): Source {
  return createTreeSource(mountpoint, volumePath(name), options)
}

/** Where the volume `name` lies in a snapshot. */
export function volumePath(name: string): Buffer[] {
  return [Buffer.from('volumes'), Buffer.from(name)]
}
