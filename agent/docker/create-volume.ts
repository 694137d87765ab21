// A volume that is made anew for a restore, with the definition of the one that was backed up.
import type { Engine, EngineVolume } from './engine.ts'

/** Where a copy came from; set only on copies under another name. */
export const RESTORED_FROM = 'holdfast.restored-from'
const COMPOSE = 'com.docker.compose.'

/**
 * Labels of a restored volume. Under its old name they are kept as they were; a copy under a new name
 * leaves out Compose's (it would count the copy as its own) and says where it came from.
 */
export function labelsForRestore(
  labels: Readonly<Record<string, string>>,
  oldName: string,
  newName: string,
): Record<string, string> {
  if (oldName === newName) return { ...labels }
  const kept = Object.entries(labels).filter(([label]) => !label.startsWith(COMPOSE))
  return { ...Object.fromEntries(kept), [RESTORED_FROM]: oldName }
}

/**
 * Make the volume, or find the one that an earlier attempt of the same job made. `exists` when there
 * is one of that name that is not ours to fill.
 */
export async function createVolumeForRestore(
  engine: Engine,
  definition: {
    name: string
    driver: string
    options: Readonly<Record<string, string>>
    labels: Readonly<Record<string, string>>
    /** An earlier attempt of this job made it: it may be there. */
    ours: boolean
  },
): Promise<EngineVolume | 'exists'> {
  const present = await engine.volume(definition.name)
  if (present !== undefined) return definition.ours ? present : 'exists'
  return engine.createVolume(definition)
}
