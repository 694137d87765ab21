import {
  CreateMultipartUploadCommand,
  GetObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { describe, expect, test } from 'vitest'
import { useDocker, useRestic, useRgw } from './parts.ts'

const docker = await useDocker()
const rgw = await useRgw()
const restic = await useRestic()

describe.skipIf(docker.missing)('the engine of the run', () => {
  test('runs a container from the test image with a volume', async () => {
    const engine = docker.connect()
    await engine.createVolume({ Name: 'rig-volume' })
    const container = await engine.createContainer({
      Image: docker.image,
      Cmd: ['sh', '-c', 'echo kept >/data/file && cat /data/file'],
      HostConfig: { Binds: ['rig-volume:/data'], NetworkMode: 'none' },
    })
    try {
      await container.start()
      expect(await container.wait()).toMatchObject({ StatusCode: 0 })
      const logs = await container.logs({ stdout: true, stderr: true })
      expect(logs.toString()).toContain('kept')
    } finally {
      await container.remove({ force: true })
      await engine.getVolume('rig-volume').remove()
    }
  })
})

describe.skipIf(rgw.missing)('the gateway of the run', () => {
  test('keeps what is put and gives it back', async () => {
    const Bucket = await rgw.makeBucket('rig')
    await rgw.client.send(new PutObjectCommand({ Bucket, Key: 'a/b', Body: Buffer.from('kept') }))
    const { Body } = await rgw.client.send(new GetObjectCommand({ Bucket, Key: 'a/b' }))
    expect(await Body?.transformToString()).toBe('kept')
    await rgw.client.send(new CreateMultipartUploadCommand({ Bucket, Key: 'unfinished' }))
    await rgw.removeBucket(Bucket)
  })

  test('refuses a signature that is not its own', async () => {
    const Bucket = await rgw.makeBucket('rig')
    const { createS3Access } = await import('./s3-access.ts')
    const forger = createS3Access({ ...rgw, secretAccessKey: 'guess' })
    await expect(
      forger.client.send(new PutObjectCommand({ Bucket, Key: 'a', Body: Buffer.from('x') })),
    ).rejects.toThrow(expect.objectContaining({ name: 'SignatureDoesNotMatch' }))
    await rgw.removeBucket(Bucket)
  })
})

describe.skipIf(restic.missing)('stock restic', () => {
  test('says which version it is', () => {
    expect(restic.version).toMatch(/^0\.\d+\.\d+$/)
  })
})
