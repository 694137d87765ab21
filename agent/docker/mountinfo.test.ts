import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { currentMounts, mountAt, parseMountinfo } from './mountinfo.ts'

const text = `\
22 1 0:21 / /proc rw,nosuid shared:12 - proc proc rw
30 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
88 30 8:1 /var/lib/docker/volumes /volumes rw,relatime shared:1 master:3 - ext4 /dev/sda1 rw
90 88 0:55 / /volumes/with\\040space/_data ro,relatime - nfs4 10.0.0.1:/export rw,vers=4.2
91 88 0:56 / /volumes/twice/_data rw - tmpfs tmpfs rw
92 91 0:57 / /volumes/twice/_data rw - ext4 /dev/loop0 rw
`

describe('parseMountinfo', () => {
  it('reads roots, mount points, types and options, with optional fields or without', () => {
    const mounts = parseMountinfo(text)
    expect(mounts).toHaveLength(6)
    expect(mountAt(mounts, '/volumes')).toMatchObject({ root: '/var/lib/docker/volumes', id: 88 })
    expect(mountAt(mounts, '/volumes/with space/_data')).toMatchObject({
      type: 'nfs4',
      source: '10.0.0.1:/export',
      readOnly: true,
    })
  })

  it('answers with the mount on top when two cover the same place', () => {
    expect(mountAt(parseMountinfo(text), '/volumes/twice/_data')?.id).toBe(92)
  })

  it('knows the mounts of this very process', () => {
    expect(mountAt(currentMounts(), '/proc')?.type).toBe('proc')
  })

  it('never throws, and believes no line that is cut', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.nat(text.length), (noise, cut) => {
        parseMountinfo(noise)
        const whole = parseMountinfo(text.slice(0, cut))
        for (const mount of whole.slice(0, -1)) expect(parseMountinfo(text)).toContainEqual(mount)
        parseMountinfo(text.slice(0, cut) + noise)
      }),
    )
  })
})
