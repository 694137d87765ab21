// Repositories that stock restic made become those of hosts, where they lie, and go on as if they had always been.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { useRestic } from '../rig/parts.ts'
import { createRestic, type Restic } from '../rig/restic.ts'
import { compareTrees } from '../support/compare-trees.ts'
import { type Fleet, type FleetHost, type Job, startFleet } from '../support/fleet.ts'
import { writeBody } from '../support/tree-body.ts'

const restic = await useRestic()
const password = 'an old password'

describe.skipIf(restic.missing)('an existing restic repository', () => {
  let fleet: Fleet
  let vault: string
  const judges: Restic[] = []

  beforeAll(async () => {
    fleet = await startFleet()
    const [local] = await fleet.list('vault', 'list')
    vault = join(fleet.data, 'vaults', local!.id as string)
    writeBody(join(fleet.folder, 'one'), 3_000_000, 'one')
    writeBody(join(fleet.folder, 'two'), 500_000, 'two')
  }, 120_000)
  afterAll(async () => {
    for (const judge of judges) judge.close()
    await fleet?.stop()
  })

  const tree = (name: string) => join(fleet.folder, name)

  /** Made below the folder of the vault, with a snapshot of `one` by another host. */
  async function made(place: string, version: 1 | 2 = 2): Promise<Restic> {
    const repository = join(vault, place)
    mkdirSync(repository, { recursive: true })
    const judge = createRestic({ repository, password })
    judges.push(judge)
    await judge.run('init', '--repository-version', String(version))
    await judge.backup([tree('one')], '--host', 'old-server', '--tag', 'nightly')
    return judge
  }

  const adopt = async (host: FleetHost, place: string, secret = password) => {
    const words = ['--host', host.name, '--vault', 'local', '--prefix', place]
    const ran = await fleet
      .as({ RESTIC_PASSWORD: secret })
      .attempt('adopt', ...words, '--recipient', host.recipient)
    return { job: ran.json.at(-1) as unknown as Job, ran }
  }

  /** A host that offers `one`, and knows that it does. */
  async function host(name: string): Promise<FleetHost> {
    const enrolled = await fleet.host(name, { directories: [tree('one')] })
    await enrolled.offers(`directory:${tree('one')}`)
    return enrolled
  }

  const snapshots = async (name: string) => fleet.list('snapshots', '--host', name)

  async function restored(snapshot: string, name: string): Promise<string> {
    const target = join(fleet.folder, name)
    const job = await fleet.job('restore', snapshot, '--to-directory', target)
    expect(job).toMatchObject({ outcome: 'succeeded' })
    return target
  }

  it('is taken over without copying, browsed, restored, and written on', async () => {
    const judge = await made('old/restic')
    const second = await judge.backup([tree('one'), tree('two')], '--host', 'other-server')
    const before = (await judge.list('packs')).length
    const web = await host('web-1')

    const { job } = await adopt(web, 'old/restic')
    expect(job).toMatchObject({ kind: 'init', outcome: 'succeeded' })
    expect(job.message).toContain('2 snapshots')
    expect(await judge.list('keys')).toHaveLength(3)
    expect(await judge.list('packs')).toHaveLength(before)

    const there = await snapshots('web-1')
    expect(there.map((one) => one.source).sort()).toEqual([
      `directory:${fleet.folder}`,
      `directory:${tree('one')}`,
    ])
    const first = there.find((one) => one.id !== second)!
    const target = await restored(first.id as string, 'restored-first')
    expect(compareTrees(tree('one'), target).differences).toEqual([])
    const listed = await fleet.list('ls', first.id as string)
    expect(listed.length).toBeGreaterThan(5)
    const both = await restored(second, 'restored-second')
    expect(compareTrees(tree('two'), join(both, 'two')).differences).toEqual([])

    // Its chunks are cut where ours are: nothing of the old content is stored again.
    const backup = await web.backup(`directory:${tree('one')}`)
    expect(backup).toMatchObject({ outcome: 'succeeded' })
    expect(backup.counts!.bytesStored).toBeLessThan(200_000)
    await judge.check()
    expect(await judge.snapshots()).toHaveLength(3)
    const verified = await fleet.job('verify', '--host', 'web-1', '--read-data')
    expect(verified).toMatchObject({ outcome: 'succeeded' })
    await web.stop()
  }, 180_000)

  it('is found by the way that restic was given, when that was a relative one', async () => {
    const judge = await made('relative')
    const words = ['-c', 'cd "$0" && exec restic backup --no-cache --quiet one', fleet.folder]
    execFileSync('sh', words, {
      env: {
        ...process.env,
        RESTIC_REPOSITORY: join(vault, 'relative'),
        RESTIC_PASSWORD: password,
      },
    })
    const [, relative] = await judge.snapshots()
    const web = await host('web-2')
    expect((await adopt(web, '/relative/')).job).toMatchObject({ outcome: 'succeeded' })
    const target = await restored(relative!.id, 'restored-relative')
    expect(compareTrees(tree('one'), target).differences).toEqual([])
    await web.stop()
  }, 120_000)

  it('stays what it is when its password is wrong, and the host is free to do something else', async () => {
    const judge = await made('wrong')
    const web = await host('web-3')
    const { job } = await adopt(web, 'wrong', 'guessed')
    expect(job).toMatchObject({ outcome: 'failed', reason: 'wrong-password' })
    expect(await judge.list('keys')).toHaveLength(1)
    // Its own repository is made, which is empty, so that it may still take over the other.
    expect((await adopt(web, 'wrong')).job).toMatchObject({ outcome: 'succeeded' })
    const other = await host('web-4')
    const { ran } = await adopt(other, 'wrong')
    expect(ran.exitCode).not.toBe(0)
    expect(ran.stderr).toContain('web-3')
    // A host with backups of its own keeps its repository.
    await other.backup(`directory:${tree('one')}`)
    await made('late')
    expect((await adopt(other, 'late')).ran.stderr).toContain('with backups')
    await web.stop()
    await other.stop()
  }, 180_000)

  it('of the first format is read and not written, until restic upgrades it', async () => {
    const judge = await made('first', 1)
    const web = await host('web-5')
    const { job } = await adopt(web, 'first')
    expect(job).toMatchObject({ outcome: 'warning', reason: 'repository-read-only' })
    expect(job.message).toContain('restic migrate upgrade_repo_v2')
    const [old] = await snapshots('web-5')
    const target = await restored(old!.id as string, 'restored-first-format')
    expect(compareTrees(tree('one'), target).differences).toEqual([])
    const verified = await fleet.job('verify', '--host', 'web-5', '--read-data')
    expect(verified).toMatchObject({ outcome: 'succeeded' })
    expect(await web.backup(`directory:${tree('one')}`)).toMatchObject({
      outcome: 'failed',
      reason: 'repository-read-only',
    })
    await judge.run('migrate', 'upgrade_repo_v2')
    const backup = await web.backup(`directory:${tree('one')}`)
    expect(backup).toMatchObject({ outcome: 'succeeded' })
    expect(backup.counts!.bytesStored).toBeLessThan(200_000)
    await judge.check()
    await web.stop()
  }, 180_000)

  it('whose config is damaged, or that is not there, is refused', async () => {
    await made('damaged')
    const config = join(vault, 'damaged', 'config')
    const bytes = readFileSync(config)
    bytes[bytes.length >> 1]! ^= 0xff
    writeFileSync(config, bytes)
    const web = await host('web-6')
    const { job } = await adopt(web, 'damaged')
    expect(job).toMatchObject({ outcome: 'failed', reason: 'repository-damaged' })
    expect(readdirSync(join(vault, 'damaged', 'keys'))).toHaveLength(1)
    const nowhere = await adopt(web, 'nowhere')
    expect(nowhere.ran.stderr).toContain('holds no restic repository')
    for (const prefix of ['../elsewhere', 'repositories/x', '/']) {
      expect((await adopt(web, prefix)).ran.exitCode).not.toBe(0)
    }
    await web.stop()
  }, 120_000)
})
