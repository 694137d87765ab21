// The disk vault and clocks, from the service down to the disk.
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { VaultSubject } from '../../control-plane/ports/vault-subject.ts'
import { packKey } from '../../shared/vault/layout.ts'
import { admin, openVaultWorld, type VaultWorld } from './world.ts'

let world: VaultWorld
beforeEach(async () => {
  world = await openVaultWorld()
})
afterEach(() => world.close())

describe('a disk vault', () => {
  it('is added, becomes the default, is probed clean and marks its place', async () => {
    const { vaults } = world
    const vault = await vaults.add({ name: 'disk', place: { kind: 'disk' } }, undefined)
    expect(vault).toMatchObject({ name: 'disk', isDefault: true, capabilities: null })
    const marker = join(world.connector.pathOf(vault.id), 'holdfast/v1/vault.json')
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
    expect((await world.events()).map(({ action, target }) => [action, target])).toEqual([
      ['vault.added', 'vault:disk'],
      ['vault.probed', 'vault:disk'],
    ])
  })

  it('has one default among many, and one name each', async () => {
    const { vaults } = world
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
    expect(
      (await world.events()).filter(({ action }) => action === 'vault.default-set'),
    ).toHaveLength(1)
    await expect(vaults.find('c')).rejects.toMatchObject({ code: 'not-found' })
  })

  it('refuses fields that do not belong together', async () => {
    const { vaults } = world
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
      access: Parameters<typeof world.connector.connect>[0],
    ): Promise<VaultSubject> => {
      const subject = await world.connector.connect(access)
      return { ...subject, objects: { ...subject.objects, time: async () => Date.now() } }
    }
    const vaults = world.service(connect)
    await vaults.add({ name: 'disk', place: { kind: 'disk' } }, admin)
    world.knobs.skewMs = ahead
    return vaults
  }
  const wanted = { key: packKey(randomUUID(), 'ab'.repeat(32)), seconds: 60 }
  it('are corrected and alarmed once above two minutes', async () => {
    const vaults = await aside(180_000)
    expect(await vaults.checkClocks()).toEqual([])
    expect(await vaults.checkClocks()).toEqual([])
    expect((await vaults.find('disk')).clockSkewMs).toBeGreaterThan(178_000)
    expect(await world.alerts()).toMatchObject([{ alert_type: 'clock-skew', level: 'warning' }])
    expect((await world.alerts())[0].message).toContain('180 s ahead of the clock of vault "disk"')
    await (await vaults.open('disk')).objects.signGet(wanted)
    world.knobs.skewMs = 0
    await vaults.checkClocks()
    expect((await vaults.find('disk')).clockSkewMs).toBe(0)
    expect((await world.events()).map(({ action }) => action)).toEqual([
      'vault.added',
      'vault.clock-skewed',
      'vault.clock-agreed',
    ])
    expect(await world.alerts()).toHaveLength(1)
  })

  it('stop every grant above fifteen minutes, either way', async () => {
    const vaults = await aside(0)
    for (const ahead of [16 * 60_000, -16 * 60_000]) {
      world.knobs.skewMs = ahead
      await vaults.checkClocks()
      const { objects } = await vaults.open('disk')
      await expect(objects.signGet(wanted)).rejects.toMatchObject({ code: 'clock-skew' })
      await expect(
        objects.signPut({ ...wanted, bytes: 100, sha256: 'ab'.repeat(32), md5: '0'.repeat(32) }),
      ).rejects.toMatchObject({ code: 'clock-skew' })
    }
  })

  it('report a vault that cannot be asked, and go on with the others', async () => {
    const vaults = await aside(0)
    const broken = world.service(async () => {
      throw new Error('gone')
    })
    expect(await broken.checkClocks()).toMatchObject([{ vault: 'disk' }])
    expect(await vaults.checkClocks()).toEqual([])
  })
})
