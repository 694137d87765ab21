import { describe, expect, it } from 'vitest'
import type { EngineInfo, EngineVolume } from './engine.ts'
import { parseMountinfo } from './mountinfo.ts'
import { findVolumesRoot, isTmpfs, needsMount, volumeDataPath } from './volume-path.ts'

const info: EngineInfo = {
  version: '28',
  name: 'host',
  dockerRoot: '/var/lib/docker',
  rootless: false,
  userns: false,
  selinux: false,
}
function volume(more: Partial<EngineVolume> = {}): EngineVolume {
  const mountpoint = '/var/lib/docker/volumes/data/_data'
  const plain = { name: 'data', driver: 'local', options: {}, labels: {}, mountpoint }
  return { ...plain, createdAt: undefined, ...more }
}
const on =
  (...paths: string[]) =>
  (path: string) =>
    paths.includes(path)
const noMounts = parseMountinfo('30 1 8:1 / / rw - ext4 /dev/sda1 rw')

describe('findVolumesRoot', () => {
  const view = { info, local: true, configured: undefined, mounts: noMounts }

  it("is the engine's own folder where the agent runs on the host", () => {
    expect(findVolumesRoot({ ...view, exists: on('/var/lib/docker/volumes') })).toBe(
      '/var/lib/docker/volumes',
    )
  })

  it('is wherever the folder was bound to in a container, also from a file system of its own', () => {
    const whole = parseMountinfo(
      '88 30 8:1 /var/lib/docker/volumes /volumes rw master:3 - ext4 /dev/sda1 rw',
    )
    expect(findVolumesRoot({ ...view, mounts: whole, exists: on('/volumes') })).toBe('/volumes')
    const below = parseMountinfo('88 30 8:2 /docker/volumes /data/volumes rw - ext4 /dev/sdb1 rw')
    expect(findVolumesRoot({ ...view, mounts: below, exists: on('/data/volumes') })).toBe(
      '/data/volumes',
    )
    const foreign = parseMountinfo('88 30 8:2 /other/volumes /volumes rw - ext4 /dev/sdb1 rw')
    expect(findVolumesRoot({ ...view, mounts: foreign, exists: on('/volumes') })).toBeUndefined()
  })

  it('is where the operator says, if that is there', () => {
    const configured = '/hf'
    expect(findVolumesRoot({ ...view, configured, exists: on('/hf') })).toBe('/hf')
    expect(
      findVolumesRoot({ ...view, configured, exists: on('/var/lib/docker/volumes') }),
    ).toBeUndefined()
  })

  it('is nowhere for an engine on another machine, whatever lies under the same path here', () => {
    expect(findVolumesRoot({ ...view, local: false, exists: () => true })).toBeUndefined()
  })
})

describe('volumeDataPath', () => {
  it("moves paths below the engine's root, and leaves those of other drivers", () => {
    expect(volumeDataPath(volume(), info, '/volumes')).toBe('/volumes/data/_data')
    expect(volumeDataPath(volume(), info, undefined)).toBeUndefined()
    expect(volumeDataPath(volume({ mountpoint: '/mnt/nfs/data' }), info, undefined)).toBe(
      '/mnt/nfs/data',
    )
    expect(volumeDataPath(volume({ mountpoint: '' }), info, '/volumes')).toBeUndefined()
  })
})

it('a volume needs mounting when it has options or another driver', () => {
  expect(needsMount(volume())).toBe(false)
  expect(needsMount(volume({ options: { type: 'nfs' } }))).toBe(true)
  expect(needsMount(volume({ driver: 'rclone' }))).toBe(true)
  expect(isTmpfs(volume({ options: { type: 'tmpfs' } }))).toBe(true)
  expect(isTmpfs(volume({ options: { type: 'nfs' } }))).toBe(false)
})
