// The few things a test does to an S3 server behind the product's back.

import { randomBytes } from 'node:crypto'
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  ListObjectVersionsCommand,
  S3Client,
} from '@aws-sdk/client-s3'

export interface S3Credentials {
  readonly endpoint: string
  readonly region: string
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface S3Access extends S3Credentials {
  /** A client with path-style addresses, for whatever a test wants to look at or spoil. */
  readonly client: S3Client
  /** Makes an empty bucket and resolves to its name, which begins with `prefix` and is used by nobody else. */
  makeBucket(prefix?: string, options?: { objectLock?: boolean }): Promise<string>
  /** Deletes a bucket with all its objects and versions, which gives their memory back. */
  removeBucket(bucket: string): Promise<void>
}

export function createS3Access(credentials: S3Credentials): S3Access {
  const { endpoint, region, accessKeyId, secretAccessKey } = credentials
  const client = new S3Client({
    endpoint,
    region,
    credentials: { accessKeyId, secretAccessKey },
    forcePathStyle: true,
    // Ceph 16 refuses the SDK's trailing checksums of streams.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  })
  return {
    ...credentials,
    client,
    async makeBucket(prefix = 'test', options = {}) {
      const Bucket = `${prefix}-${randomBytes(5).toString('hex')}`
      const ObjectLockEnabledForBucket = options.objectLock ?? false
      await client.send(new CreateBucketCommand({ Bucket, ObjectLockEnabledForBucket }))
      return Bucket
    },
    async removeBucket(Bucket) {
      for (let more = true; more; ) {
        const page = await client.send(new ListObjectVersionsCommand({ Bucket }))
        const versions = [...(page.Versions ?? []), ...(page.DeleteMarkers ?? [])]
        for (const { Key, VersionId } of versions)
          await client.send(new DeleteObjectCommand({ Bucket, Key, VersionId }))
        more = page.IsTruncated === true
      }
      await client.send(new DeleteBucketCommand({ Bucket }))
    },
  }
}
