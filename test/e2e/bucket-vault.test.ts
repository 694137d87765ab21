import { describe } from 'vitest'
import { useDocker, useRestic, useRgw } from '../rig/parts.ts'
import { bucketPlace } from '../support/fleet.ts'
import { tellVolumeStory } from './volume-story.ts'

const docker = await useDocker()
const rgw = await useRgw()
const restic = await useRestic()
const missing = docker.missing ?? rgw.missing ?? restic.missing

describe.skipIf(missing)('A volume, in a bucket of Ceph', () => {
  let bucket: string | undefined
  tellVolumeStory(docker, {
    async add(fleet) {
      if (bucket === undefined) {
        bucket = await rgw.makeBucket('story')
        await fleet.addVault('ceph', rgw, bucket)
      }
      return 'ceph'
    },
    place: (host) => bucketPlace(rgw, bucket!, host.repository),
    everyWay: false,
    async remove() {
      if (bucket !== undefined) await rgw.removeBucket(bucket)
    },
  })
})
