// An S3 vault on Ceph, from the service down to the bucket.
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand } from '@aws-sdk/client-s3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { sendExactly } from '../../control-plane/node/exact-request.ts'
import type { ExactRequest } from '../../control-plane/ports/exact-request.ts'
import { packKey } from '../../shared/vault/layout.ts'
import type { NewVault } from '../../shared/vault/vault.ts'
import { useRgw } from '../rig/parts.ts'
import { admin, md5Hex, openVaultWorld, type VaultWorld } from './world.ts'

const rgw = await useRgw()

let world: VaultWorld
beforeEach(async () => {
  world = await openVaultWorld()
})
afterEach(() => world.close())

describe.skipIf(rgw.missing)('an S3 vault on Ceph', () => {
  let bucket: string
  beforeEach(async () => {
    bucket = await rgw.makeBucket('vaults')
    return () => rgw.removeBucket(bucket)
  })
  const wanted = (name = 's3', change: object = {}): NewVault => ({
    name,
    place: {
      kind: 's3',
      endpoint: rgw.endpoint,
      region: rgw.region,
      bucket,
      prefix: 'fleet/',
      pathStyle: true,
      ...change,
    },
    credentials: { accessKeyId: rgw.accessKeyId, secretAccessKey: rgw.secretAccessKey },
  })
  const keys = async () => {
    const found = await rgw.client.send(new ListObjectsV2Command({ Bucket: bucket }))
    return (found.Contents ?? []).map(({ Key }) => Key)
  }

  it('is probed when added; what it obeys is a warning, and grants hold', async () => {
    const { vaults } = world
    const vault = await vaults.add(wanted(), admin)
    expect(vault.capabilities).toMatchObject({
      enforcesSha256: true,
      enforcesLength: true,
      enforcesMd5: true,
      ifNoneMatch: 'enforced',
      refusesUnsignedHeaders: false,
      refusesSmuggledCopy: true,
      stockResticWrites: true,
      bindsMethodAndKey: true,
      versioning: false,
      objectLock: false,
    })
    const worst = vault.findings?.filter(({ level }) => level === 'warning' || level === 'danger')
    expect(worst).toMatchObject([{ check: 'unsigned-headers', level: 'warning' }])
    expect(worst?.[0]?.saw).toContain('x-amz-meta-probe')
    expect(await keys()).toEqual(['fleet/holdfast/v1/vault.json'])
    const { objects } = await vaults.open('s3')
    const { headers } = await objects.signPut({
      key: packKey(randomUUID(), 'ab'.repeat(32)),
      bytes: 100,
      sha256: 'ab'.repeat(32),
      md5: '0'.repeat(32),
      seconds: 60,
    })
    expect(headers).toEqual({
      'content-length': '100',
      'x-amz-content-sha256': 'ab'.repeat(32),
      'x-amz-acl': 'private',
      'if-none-match': '*',
    })
  })

  it('keeps its credentials out of the database, the log and every listing', async () => {
    const { vaults } = world
    await vaults.add(wanted(), admin)
    const { rows } = await world.database.read('SELECT * FROM vaults')
    const everything = JSON.stringify([rows, await world.events()])
    expect(everything).not.toContain(rgw.secretAccessKey)
    expect(everything).not.toContain(rgw.accessKeyId)
  })

  it('is refused with words when bucket, key, secret or address is wrong', async () => {
    const { vaults } = world
    const credentials = { accessKeyId: rgw.accessKeyId, secretAccessKey: 'wrong-secret' }
    const attempt = async (vault: NewVault) => {
      const error = await vaults.add(vault, admin).then(
        () => undefined,
        (thrown) => thrown,
      )
      expect(String(error.message)).not.toContain('wrong-secret')
      return [error.code, error.message, error.hint]
    }
    expect(await attempt({ ...wanted(), credentials })).toEqual([
      'forbidden',
      'the store refused to read an object (HTTP 403 SignatureDoesNotMatch)',
      'check the access key, its rights on this bucket, and the region',
    ])
    const absent = await attempt(wanted('s3', { bucket: 'no-such-bucket-here' }))
    expect(absent.slice(0, 2)).toEqual([
      'store-unavailable',
      'could not read an object: the bucket does not exist',
    ])
    const closed = await attempt(wanted('s3', { endpoint: 'http://127.0.0.1:9' }))
    expect(closed[1]).toBe('could not read an object: the connection was refused')
    expect(await vaults.list()).toEqual([])
    expect(await world.events()).toEqual([])
  })

  it('refuses a place that another vault has marked', async () => {
    const { vaults } = world
    await vaults.add(wanted('one'), admin)
    await expect(vaults.add(wanted('two'), admin)).rejects.toMatchObject({
      code: 'already-exists',
      hint: 'choose another prefix, or another bucket',
    })
    const other = await vaults.add(wanted('two', { prefix: 'other/' }), admin)
    expect(other.isDefault).toBe(false)
  })

  it('signs by the store’s clock when ours is off, so that grants work all the same', async () => {
    world.knobs.skewMs = -10 * 60_000
    const { vaults } = world
    const vault = await vaults.add(wanted(), admin)
    expect(vault.capabilities?.clockSkewMs).toBeLessThan(-598_000)
    expect(vault.capabilities?.enforcesSha256).toBe(true)
    const bytes = new Uint8Array(randomBytes(300))
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const key = packKey(randomUUID(), sha256)
    const { objects } = await vaults.open('s3')
    const grant = await objects.signPut({
      key,
      bytes: 300,
      sha256,
      md5: md5Hex(bytes),
      seconds: 60,
    })
    const headers = Object.entries(grant.headers)
    const answer = await sendExactly({ method: 'PUT', url: grant.url, headers, body: bytes })
    expect(answer.status).toBe(200)
    const found = vault.findings?.find(({ check }) => check === 'clock')
    expect(found).toMatchObject({ level: 'warning' })
  })

  it('tells a versioned bucket, where a second write is not refused', async () => {
    // Not removed afterwards: this store obeys the unsigned lock, and keeps that object for a minute.
    const locking = await rgw.makeBucket('vaults', { objectLock: true })
    const { vaults } = world
    const vault = await vaults.add(wanted('s3', { bucket: locking }), admin)
    expect(vault.findings).toContainEqual(
      expect.objectContaining({ check: 'cleanup', saw: expect.stringContaining('1 objects') }),
    )
    expect(vault.capabilities).toMatchObject({
      ifNoneMatch: 'ignored',
      versioning: true,
      objectLock: true,
      enforcesSha256: true,
    })
    // Small objects are still written once: the control plane looks first.
    const { objects } = await vaults.open('s3')
    const key = `repositories/${randomUUID()}/config`
    expect(await objects.put(key, new Uint8Array(100))).toBe('stored')
    expect(await objects.put(key, new Uint8Array(101))).toBe('exists')
  })

  it('gives no upload grant where a smuggled copy works, and says why', async () => {
    const { vaults } = world
    // A store that obeys the copy, as unpatched ones do with weaker signatures.
    world.knobs.send = async (request: ExactRequest) => {
      const source = request.headers.find(([name]) => name === 'x-amz-copy-source')?.[1]
      if (source === undefined) return sendExactly(request)
      const Key = source.slice(bucket.length + 2)
      const stolen = await rgw.client.send(new GetObjectCommand({ Bucket: bucket, Key }))
      const body = await stolen.Body!.transformToByteArray()
      const target = new URL(request.url).pathname.slice(bucket.length + 2)
      await rgw.client.send(new PutObjectCommand({ Bucket: bucket, Key: target, Body: body }))
      return { status: 200, headers: {}, body: new Uint8Array(0) }
    }
    const vault = await vaults.add(wanted(), admin)
    expect(vault.capabilities?.refusesSmuggledCopy).toBe(false)
    expect(vault.findings).toContainEqual(
      expect.objectContaining({ check: 'smuggled-copy', level: 'danger' }),
    )
    const { objects } = await vaults.open('s3')
    const grant = {
      key: packKey(randomUUID(), 'ab'.repeat(32)),
      bytes: 100,
      sha256: 'ab'.repeat(32),
    }
    await expect(
      objects.signPut({ ...grant, md5: '0'.repeat(32), seconds: 60 }),
    ).rejects.toMatchObject({ code: 'forbidden', message: expect.stringContaining('no uploads') })
    await objects.signGet({ key: grant.key, seconds: 60 })
  })

  it('leaves if-none-match out where the store rejects it', async () => {
    const { vaults } = world
    world.knobs.send = async (request: ExactRequest) => {
      const guarded = request.headers.some(([name]) => name === 'if-none-match')
      if (!guarded) return sendExactly(request)
      return { status: 501, headers: {}, body: new Uint8Array(0) }
    }
    const vault = await vaults.add(wanted(), admin)
    expect(vault.capabilities).toMatchObject({ ifNoneMatch: 'rejected', enforcesSha256: true })
    const { headers } = await (await vaults.open('s3')).objects.signPut({
      key: packKey(randomUUID(), 'ab'.repeat(32)),
      bytes: 100,
      sha256: 'ab'.repeat(32),
      md5: '0'.repeat(32),
      seconds: 60,
    })
    expect(Object.keys(headers).sort()).toEqual([
      'content-length',
      'x-amz-acl',
      'x-amz-content-sha256',
    ])
  })

  it('signs the MD5 too where the SHA-256 is not enforced', async () => {
    const { vaults } = world
    // A store that takes whatever bytes come under a signed SHA-256.
    world.knobs.send = async (request: ExactRequest) => {
      const answer = await sendExactly(request)
      const pinned = request.headers.some(([name]) => name === 'x-amz-content-sha256')
      if (answer.status !== 400 || !pinned) return answer
      return { ...answer, status: 200 }
    }
    const vault = await vaults.add(wanted(), admin)
    expect(vault.capabilities).toMatchObject({ enforcesSha256: false, enforcesMd5: true })
    const { objects } = await vaults.open('s3')
    expect(objects.needsMd5).toBe(true)
    const pack = {
      key: packKey(randomUUID(), 'ab'.repeat(32)),
      bytes: 100,
      sha256: 'ab'.repeat(32),
      seconds: 60,
    }
    const md5 = '00112233445566778899aabbccddeeff'
    const { headers } = await objects.signPut({ ...pack, md5 })
    await expect(objects.signPut(pack)).rejects.toThrow('md5: is needed')
    expect(headers['content-md5']).toBe('ABEiM0RVZneImaq7zN3u/w==')
  })
})
