// Vaults from end to end: real database, real disk, real Ceph, real HTTP.
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Database, openDatabase } from '../../control-plane/adapters/libsql/client.ts'
import { createVaultsStore } from '../../control-plane/adapters/libsql/store/vaults.ts'
import type { Identity } from '../../control-plane/core/access.ts'
import { createSecretBox } from '../../control-plane/core/secret-box.ts'
import { createVaults } from '../../control-plane/core/vaults.ts'
import { createVaultDoor } from '../../control-plane/node/disk-objects/vault-door.ts'
import { sendExactly } from '../../control-plane/node/exact-request.ts'
import { createVaultConnector } from '../../control-plane/node/vault-connector.ts'
import type { ExactRequest, SendExactly } from '../../control-plane/ports/exact-request.ts'
import type { VaultSubject } from '../../control-plane/ports/vault-subject.ts'
import { packKey } from '../../shared/vault/layout.ts'
import type { NewVault } from '../../shared/vault/vault.ts'
import { useRgw } from '../rig/parts.ts'
import { systemClock, systemRandom } from '../support/system-clock.ts'

const rgw = await useRgw()
const admin: Identity = { token: '0123456789abcdef', name: 'admin', role: 'admin' }
const md5Hex = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex')
const urlKey = new Uint8Array(randomBytes(32))
const masterKeys = [new Uint8Array(randomBytes(32))]

let data: string
let server: Server
let database: Database
let connector: ReturnType<typeof createVaultConnector>
/** Runs between our probe and the vault; set by a test to play a bad store. */
let meddle: SendExactly = sendExactly
let skewMs = 0
const clock = { ...systemClock, now: () => Date.now() + skewMs }

beforeAll(async () => {
  data = mkdtempSync(join(tmpdir(), 'holdfast-vaults-'))
  server = createServer((request, response) => {
    if (!door(request, response)) response.writeHead(404).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const publicUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  connector = createVaultConnector({
    dataDirectory: data,
    publicUrl,
    urlKey,
    clock,
    reserveBytes: 0,
  })
  const door = createVaultDoor({
    folderOf: connector.folderOf,
    urlKey,
    clock,
    onFault: (error) => {
      throw error
    },
  })
})
beforeEach(async () => {
  meddle = sendExactly
  skewMs = 0
  database?.close()
  database = await openDatabase({ url: `file:${join(data, `${randomUUID()}.db`)}` })
})
afterAll(async () => {
  database.close()
  server.closeAllConnections()
  await new Promise((done) => server.close(done))
  rmSync(data, { recursive: true, force: true })
})

async function createService(connect = connector.connect) {
  return createVaults({
    clock,
    random: systemRandom,
    store: createVaultsStore(database),
    secretBox: await createSecretBox({ masterKeys, random: systemRandom }),
    connect,
    send: (request) => meddle(request),
    md5Hex,
  })
}
const events = async () => {
  const { rows } = await database.read('SELECT action, target, entry FROM audit ORDER BY seq')
  return rows.map(({ action, target, entry }) => ({
    action,
    target,
    details: JSON.parse(String(entry)).details,
  }))
}

describe('a disk vault', () => {
  it('is added, becomes the default, is probed clean and marks its place', async () => {
    const vaults = await createService()
    const vault = await vaults.add({ name: 'disk', place: { kind: 'disk' } }, undefined)
    expect(vault).toMatchObject({ name: 'disk', isDefault: true, capabilities: null })
    const marker = join(connector.pathOf(vault.id), 'holdfast/v1/vault.json')
    expect(JSON.parse(readFileSync(marker, 'utf8'))).toMatchObject({ v: 1, vault: vault.id })
    const probed = await vaults.probe('disk', admin)
    expect(probed.capabilities).toEqual({
      enforcesSha256: true,
      enforcesLength: true,
      enforcesMd5: null,
      ifNoneMatch: 'enforced',
      refusesUnsignedHeaders: true,
      refusesSmuggledCopy: true,
      stockResticWrites: true,
      bindsMethodAndKey: true,
      versioning: false,
      objectLock: false,
      clockSkewMs: 0,
    })
    expect(
      probed.findings?.filter(({ level }) => level === 'warning' || level === 'danger'),
    ).toEqual([])
    const { objects } = await vaults.open(vault.id)
    const left = await objects.list('holdfast/v1/probe/', { limit: 100 })
    expect(left.objects).toEqual([])
    expect((await events()).map(({ action, target }) => [action, target])).toEqual([
      ['vault.added', 'vault:disk'],
      ['vault.probed', 'vault:disk'],
    ])
  })

  it('has one default among many, and one name each', async () => {
    const vaults = await createService()
    await vaults.add({ name: 'a', place: { kind: 'disk' } }, undefined)
    await vaults.add({ name: 'b', place: { kind: 'disk' } }, admin)
    await expect(vaults.add({ name: 'a', place: { kind: 'disk' } }, admin)).rejects.toMatchObject({
      code: 'already-exists',
    })
    await vaults.setDefault('b', admin)
    await vaults.setDefault('b', admin)
    expect((await vaults.list()).map(({ name, isDefault }) => [name, isDefault])).toEqual([
      ['a', false],
      ['b', true],
    ])
    expect((await events()).filter(({ action }) => action === 'vault.default-set')).toHaveLength(1)
    await expect(vaults.find('c')).rejects.toMatchObject({ code: 'not-found' })
  })

  it('refuses fields that do not belong together', async () => {
    const vaults = await createService()
    const credentials = { accessKeyId: 'a', secretAccessKey: 'b' }
    const place = {
      kind: 's3',
      endpoint: 'https://user:pass@example.com/?x=1',
      region: 'r',
      bucket: 'bucket',
      prefix: '',
      pathStyle: true,
    } as const
    await expect(
      vaults.add({ name: 'x', place: { kind: 'disk' }, credentials }, admin),
    ).rejects.toMatchObject({
      code: 'invalid',
      message: 'credentials: a disk vault has no credentials',
    })
    await expect(vaults.add({ name: 'x', place }, admin)).rejects.toMatchObject({
      fields: [
        { path: ['credentials'], message: 'an S3 vault needs an access key' },
        { path: ['place', 'endpoint'], message: 'must hold no user, password, query or fragment' },
      ],
    })
  })
})

describe('clocks', () => {
  const aside = async (ahead: number) => {
    const connect = async (
      access: Parameters<typeof connector.connect>[0],
    ): Promise<VaultSubject> => {
      const subject = await connector.connect(access)
      return { ...subject, objects: { ...subject.objects, time: async () => Date.now() } }
    }
    const vaults = await createService(connect)
    await vaults.add({ name: 'disk', place: { kind: 'disk' } }, admin)
    skewMs = ahead
    return vaults
  }
  const wanted = { key: packKey(randomUUID(), 'ab'.repeat(32)), seconds: 60 }
  const alerts = async () => {
    const { rows } = await database.read("SELECT body FROM queue WHERE topic = 'alert'")
    return rows.map(({ body }) => JSON.parse(String(body)))
  }

  it('are corrected and alarmed once above two minutes', async () => {
    const vaults = await aside(180_000)
    expect(await vaults.checkClocks()).toEqual([])
    expect(await vaults.checkClocks()).toEqual([])
    expect((await vaults.find('disk')).clockSkewMs).toBeGreaterThan(178_000)
    expect(await alerts()).toMatchObject([{ alert_type: 'clock-skew', level: 'warning' }])
    expect((await alerts())[0].message).toContain('180 s ahead of the clock of vault "disk"')
    await (await vaults.open('disk')).objects.signGet(wanted)
    skewMs = 0
    await vaults.checkClocks()
    expect((await vaults.find('disk')).clockSkewMs).toBe(0)
    expect((await events()).map(({ action }) => action)).toEqual([
      'vault.added',
      'vault.clock-skewed',
      'vault.clock-agreed',
    ])
    expect(await alerts()).toHaveLength(1)
  })

  it('stop every grant above fifteen minutes, either way', async () => {
    for (const ahead of [16 * 60_000, -16 * 60_000]) {
      const vaults = await aside(0)
      skewMs = ahead
      await vaults.checkClocks()
      const { objects } = await vaults.open('disk')
      await expect(objects.signGet(wanted)).rejects.toMatchObject({ code: 'clock-skew' })
      await expect(
        objects.signPut({ ...wanted, bytes: 100, sha256: 'ab'.repeat(32), md5: '0'.repeat(32) }),
      ).rejects.toMatchObject({ code: 'clock-skew' })
      database.close()
      database = await openDatabase({ url: `file:${join(data, `${randomUUID()}.db`)}` })
    }
  })

  it('report a vault that cannot be asked, and go on with the others', async () => {
    const vaults = await aside(0)
    const broken = await createService(async () => {
      throw new Error('gone')
    })
    expect(await broken.checkClocks()).toMatchObject([{ vault: 'disk' }])
    expect(await vaults.checkClocks()).toEqual([])
  })
})

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
    const vaults = await createService()
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
    const vaults = await createService()
    await vaults.add(wanted(), admin)
    const { rows } = await database.read('SELECT * FROM vaults')
    const everything = JSON.stringify([rows, await events()])
    expect(everything).not.toContain(rgw.secretAccessKey)
    expect(everything).not.toContain(rgw.accessKeyId)
  })

  it('is refused with words when bucket, key, secret or address is wrong', async () => {
    const vaults = await createService()
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
    expect(await events()).toEqual([])
  })

  it('refuses a place that another vault has marked', async () => {
    const vaults = await createService()
    await vaults.add(wanted('one'), admin)
    await expect(vaults.add(wanted('two'), admin)).rejects.toMatchObject({
      code: 'already-exists',
      hint: 'choose another prefix, or another bucket',
    })
    const other = await vaults.add(wanted('two', { prefix: 'other/' }), admin)
    expect(other.isDefault).toBe(false)
  })

  it('signs by the store’s clock when ours is off, so that grants work all the same', async () => {
    skewMs = -10 * 60_000
    const vaults = await createService()
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
    const vaults = await createService()
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
    const vaults = await createService()
    // A store that obeys the copy, as unpatched ones do with weaker signatures.
    meddle = async (request: ExactRequest) => {
      const source = request.headers.find(([name]) => name === 'x-amz-copy-source')?.[1]
      if (source === undefined) return sendExactly(request)
      const Key = source.slice(bucket.length + 2)
      const stolen = await rgw.client.send(new GetObjectCommand({ Bucket: bucket, Key }))
      const body = await stolen.Body!.transformToByteArray()
      const { PutObjectCommand } = await import('@aws-sdk/client-s3')
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

  it('signs the MD5 too where the SHA-256 is not enforced', async () => {
    const vaults = await createService()
    // A store that takes whatever bytes come under a signed SHA-256.
    meddle = async (request: ExactRequest) => {
      const answer = await sendExactly(request)
      const pinned = request.headers.some(([name]) => name === 'x-amz-content-sha256')
      if (answer.status !== 400 || !pinned) return answer
      return { ...answer, status: 200 }
    }
    const vault = await vaults.add(wanted(), admin)
    expect(vault.capabilities).toMatchObject({ enforcesSha256: false, enforcesMd5: true })
    const { headers } = await (await vaults.open('s3')).objects.signPut({
      key: packKey(randomUUID(), 'ab'.repeat(32)),
      bytes: 100,
      sha256: 'ab'.repeat(32),
      md5: '00112233445566778899aabbccddeeff',
      seconds: 60,
    })
    expect(headers['content-md5']).toBe('ABEiM0RVZneImaq7zN3u/w==')
  })
})
