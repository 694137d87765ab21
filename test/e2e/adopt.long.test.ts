// Taking over repositories that are not as one would wish: old, damaged, foreign to the host, closed.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { useRestic, useRgw } from '../rig/parts.ts'
import { createRestic } from '../rig/restic.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { type AdoptScene, oldPassword, setAdoptScene } from './adopt-scene.ts'

const restic = await useRestic()
const rgw = await useRgw()

describe.skipIf(restic.missing)('an existing restic repository', () => {
  let scene: AdoptScene
  beforeAll(async () => {
    scene = await setAdoptScene()
  }, 120_000)
  afterAll(() => scene?.stop())

  it('is found by the way that restic was given, when that was a relative one', async () => {
    const judge = await scene.made('relative')
    const words = ['-c', 'cd "$0" && exec restic backup --no-cache --quiet one', scene.fleet.folder]
    execFileSync('sh', words, {
      env: {
        ...process.env,
        RESTIC_REPOSITORY: join(scene.vault, 'relative'),
        RESTIC_PASSWORD: oldPassword,
      },
    })
    const [, relative] = await judge.snapshots()
    const web = await scene.host('web-2')
    expect((await scene.adopt(web, '/relative/')).job).toMatchObject({ outcome: 'succeeded' })
    const target = await scene.restored(relative!.id, 'restored-relative')
    expect(compareTrees(scene.tree('one'), target).differences).toEqual([])
    await web.stop()
  }, 120_000)

  it('stays what it is when its password is wrong, and the host is free to do something else', async () => {
    const judge = await scene.made('wrong')
    const web = await scene.host('web-3')
    const { job } = await scene.adopt(web, 'wrong', 'guessed')
    expect(job).toMatchObject({ outcome: 'failed', reason: 'wrong-password' })
    expect(await judge.list('keys')).toHaveLength(1)
    // Now its own repository is made, and stays empty: it may still take over the other.
    rmSync(scene.gone('web-3'), { recursive: true })
    const empty = await web.backup(`directory:${scene.gone('web-3')}`)
    expect(empty).toMatchObject({ outcome: 'failed', reason: 'source-missing' })
    const known = await scene.fleet.list('hosts')
    expect(known.find((one) => one.name === 'web-3')).toMatchObject({ repositoryState: 'ready' })
    expect((await scene.adopt(web, 'wrong')).job).toMatchObject({ outcome: 'succeeded' })
    const other = await scene.host('web-4')
    const taken = await scene.adopt(other, 'wrong')
    expect(taken.exitCode).not.toBe(0)
    expect(taken.stderr).toContain('web-3')
    // A host with backups of its own keeps its repository.
    await other.backup(`directory:${scene.tree('one')}`)
    await scene.made('late')
    expect((await scene.adopt(other, 'late')).stderr).toContain('with backups')
    await web.stop()
    await other.stop()
  }, 180_000)

  it('of the first format is read and not written, until restic upgrades it', async () => {
    const judge = await scene.made('first', 1)
    const web = await scene.host('web-5')
    const { job } = await scene.adopt(web, 'first')
    expect(job).toMatchObject({ outcome: 'warning', reason: 'repository-read-only' })
    expect(job.message).toContain('restic migrate upgrade_repo_v2')
    const [old] = await scene.snapshots('web-5')
    const target = await scene.restored(old!.id as string, 'restored-first-format')
    expect(compareTrees(scene.tree('one'), target).differences).toEqual([])
    const verified = await scene.fleet.job('verify', '--host', 'web-5', '--read-data')
    expect(verified).toMatchObject({ outcome: 'succeeded' })
    expect(await web.backup(`directory:${scene.tree('one')}`)).toMatchObject({
      outcome: 'failed',
      reason: 'repository-read-only',
    })
    await judge.run('migrate', 'upgrade_repo_v2')
    const backup = await web.backup(`directory:${scene.tree('one')}`)
    expect(backup).toMatchObject({ outcome: 'succeeded' })
    expect(backup.counts!.bytesStored).toBeLessThan(200_000)
    await judge.check()
    await web.stop()
  }, 180_000)

  it('whose config is damaged, or that is not there, is refused', async () => {
    await scene.made('damaged')
    const config = join(scene.vault, 'damaged', 'config')
    const bytes = readFileSync(config)
    bytes[bytes.length >> 1]! ^= 0xff
    writeFileSync(config, bytes)
    const web = await scene.host('web-6')
    const { job } = await scene.adopt(web, 'damaged')
    expect(job).toMatchObject({ outcome: 'failed', reason: 'repository-damaged' })
    expect(readdirSync(join(scene.vault, 'damaged', 'keys'))).toHaveLength(1)
    const nowhere = await scene.adopt(web, 'nowhere')
    expect(nowhere.stderr).toContain('holds no restic repository')
    for (const prefix of ['../elsewhere', 'repositories/x', '/']) {
      expect((await scene.adopt(web, prefix)).exitCode).not.toBe(0)
    }
    await web.stop()
  }, 120_000)

  it.skipIf(rgw.missing)(
    'is taken over in a bucket, beside what Holdfast keeps there',
    async () => {
      const { fleet } = scene
      const bucket = await rgw.makeBucket('adopt')
      await fleet.addVault('ceph', rgw, bucket)
      const judge = createRestic({
        repository: `s3:${rgw.endpoint}/${bucket}/elsewhere/old`,
        password: oldPassword,
        environment: {
          AWS_ACCESS_KEY_ID: rgw.accessKeyId,
          AWS_SECRET_ACCESS_KEY: rgw.secretAccessKey,
          AWS_DEFAULT_REGION: rgw.region,
        },
      })
      await judge.init()
      const old = await judge.backup([scene.tree('one')], '--host', 'old-server')
      const web = await scene.host('web-7')
      const { job } = await scene.adopt(web, 'elsewhere/old', oldPassword, 'ceph')
      expect(job).toMatchObject({ outcome: 'succeeded' })
      const target = await scene.restored(old, 'restored-bucket')
      expect(compareTrees(scene.tree('one'), target).differences).toEqual([])
      const backup = await web.backup(`directory:${scene.tree('one')}`)
      expect(backup).toMatchObject({ outcome: 'succeeded' })
      expect(backup.counts!.bytesStored).toBeLessThan(200_000)
      await judge.check()
      expect(await judge.snapshots()).toHaveLength(2)
      judge.close()
      await web.stop()
    },
    180_000,
  )
})
