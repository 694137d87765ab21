import { describe } from 'vitest'
import { createS3Vault } from '../../control-plane/adapters/s3/s3-objects.ts'
import { useRgw } from '../rig/parts.ts'
import { systemClock } from '../support/system-clock.ts'
import { describeObjects } from './objects.ts'

const rgw = await useRgw()

const obeyed =
  'Ceph before 20 obeys unsigned x-amz headers (CVE-2026-54330); bytes, length and privacy stay pinned, and the probe warns'

describe.skipIf(rgw.missing)('Ceph', () => {
  describeObjects(
    'Ceph RGW',
    async () => {
      const bucket = await rgw.makeBucket('vault')
      const vault = createS3Vault({
        place: {
          kind: 's3',
          endpoint: rgw.endpoint,
          region: rgw.region,
          bucket,
          prefix: 'a/fleet/',
          pathStyle: true,
        },
        credentials: { accessKeyId: rgw.accessKeyId, secretAccessKey: rgw.secretAccessKey },
        capabilities: null,
        skewMs: 0,
        clock: systemClock,
        fetch,
      })
      return {
        subject: vault,
        async stop() {
          vault.close()
          await rgw.removeBucket(bucket)
        },
      }
    },
    {
      'unsigned x-amz-meta-owner is refused': obeyed,
      'unsigned x-amz-tagging is refused': obeyed,
      'unsigned x-amz-website-redirect-location is refused': obeyed,
    },
  )
})
