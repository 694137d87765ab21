import { describe } from 'vitest'
import { useDocker, useRestic } from '../rig/parts.ts'
import { tellVolumeStory } from './volume-story.ts'

const docker = await useDocker()
const restic = await useRestic()

describe.skipIf(docker.missing ?? restic.missing)(
  'A volume, on the vault of the control plane',
  () =>
    tellVolumeStory(docker, {
      add: async () => undefined,
      place: () => undefined,
      remove: async () => {},
      everyWay: true,
    }),
)
