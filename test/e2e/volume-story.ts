// What a volume goes through, told on any vault: backed up, judged by stock restic, restored every way there is.
import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DockerPart } from '../rig/parts.ts'
import { createRestic, type Restic } from '../rig/restic.ts'
import { makeAwkwardTree } from '../support/awkward-tree.ts'
import { compareTrees, printDifference } from '../support/compare-trees.ts'
import {
  type Fleet,
  type FleetHost,
  type Place,
  startFleet,
  type Volume,
} from '../support/fleet.ts'
import { changeBody } from '../support/tree-body.ts'

/** Ordinary content beside the awkward entries, in bytes: a few packs. */
const BODY = 10_000_000

/** The awkward entries alone; fewer means that something was not looked at. */
const LEAST_ENTRIES = 100

/** Where the repositories of the hosts lie. */
export interface StoryVault {
  /** Its name, once it was added; undefined for the one that is there from the start. */
  add(fleet: Fleet): Promise<string | undefined>
  /** Undefined: on the local disk. */
  place(host: FleetHost): Place | undefined
  remove(): Promise<void>
  /** Also what does not depend on where the repository lies. */
  readonly everyWay: boolean
}

function same(left: string, right: string): void {
  const { differences } = compareTrees(left, right, { ignoreSockets: true })
  expect(differences.map(printDifference)).toEqual([])
}

export function tellVolumeStory(docker: DockerPart, vault: StoryVault): void {
  let fleet: Fleet
  let host: FleetHost
  let volume: Volume
  let restic: Restic
  let first = ''
  let second = ''

  beforeAll(async () => {
    fleet = await startFleet({ docker })
    const name = await vault.add(fleet)
    host = await fleet.host('web-1', name === undefined ? {} : { vault: name })
    volume = await fleet.volume('awkward', { Labels: { tier: 'gold' } })
    makeAwkwardTree(volume.path, { bodyBytes: BODY, seed: 'story' })
    await host.offers(`volume:${volume.name}`)
  })
  afterAll(async () => {
    await fleet?.stop()
    await vault.remove()
  })

  test('is backed up, and stock restic finds nothing wrong', async () => {
    const job = await host.backup(`volume:${volume.name}`)
    expect(job).toMatchObject({ outcome: 'succeeded', reason: 'completed', attempt: 1 })
    first = job.snapshot ?? ''
    restic = fleet.restic(host, vault.place(host))
    await restic.check({ readData: true })
    const [snapshot] = await restic.snapshots()
    expect(snapshot).toMatchObject({
      id: first,
      hostname: 'web-1',
      paths: [`/volumes/${volume.name}`],
      tags: [`job:${job.id}`],
    })
  })

  test('is restored by stock restic without a difference', async () => {
    const target = join(fleet.folder, 'by-restic')
    await restic.restore(first, target)
    const restored = join(target, 'volumes', volume.name)
    const { differences, entries, bytes } = compareTrees(volume.path, restored, {
      ignoreSockets: true,
      // restic 0.14 fills holes.
      ignore: ['allocation-grew'],
    })
    // restic reads a link's raw target since 0.16 only.
    const told = differences.filter(({ path }) => path !== 'links/not-utf8')
    expect(told.map(printDifference)).toEqual([])
    expect(entries).toBeGreaterThan(LEAST_ENTRIES)
    expect(bytes).toBeGreaterThan(BODY)
    rmSync(target, { recursive: true })
  })

  test('sends only what changed, and restores into a new volume without a difference', async () => {
    const change = changeBody(join(volume.path, 'body'), 'story')
    const job = await host.backup(`volume:${volume.name}`)
    expect(job).toMatchObject({ outcome: 'succeeded' })
    expect(job.counts?.filesUnmodified).toBeGreaterThan(0)
    expect(job.counts?.bytesStored).toBeLessThan(change.bytes + BODY / 2)
    second = job.snapshot ?? ''
    const name = fleet.futureVolume('restored')
    const restore = await fleet.job('restore', second, '--to-volume', name)
    expect(restore).toMatchObject({ outcome: 'succeeded' })
    same(volume.path, await fleet.mountpoint(name))
    const { Labels } = await docker.connect().getVolume(name).inspect()
    expect(Labels).toMatchObject({ tier: 'gold', 'holdfast.restored-from': expect.any(String) })
  })

  if (vault.everyWay) {
    test('is not restored over a volume that is there already', async () => {
      const ran = await fleet.attempt('restore', second, '--to-volume', volume.name)
      expect(ran.exitCode).toBe(1)
      expect(JSON.parse(ran.stderr)).toMatchObject({
        code: 'invalid',
        message: `target.name: volume "${volume.name}" exists on host "web-1"; a restore makes a new volume`,
        hint: 'choose another name, or restore in place',
      })
    })

    test('is not exchanged under a running container, unless that may be stopped', async () => {
      const engine = docker.connect()
      const live = await fleet.volume('live')
      writeFileSync(join(live.path, 'was'), 'before\n')
      await host.offers(`volume:${live.name}`)
      const snapshot = (await host.backup(`volume:${live.name}`)).snapshot ?? ''
      writeFileSync(join(live.path, 'since'), 'after\n')
      const container = await engine.createContainer({
        name: `uses-${live.name}`,
        Image: docker.image,
        Cmd: ['sh', '-c', 'sleep 600'],
        HostConfig: { Binds: [`${live.name}:/data`], NetworkMode: 'none', Init: false },
        StopTimeout: 1,
      })
      try {
        await container.start()
        const refused = await fleet.job('restore', snapshot, '--in-place')
        expect(refused).toMatchObject({
          outcome: 'failed',
          reason: 'source-in-use',
          message: `running containers use the volume: uses-${live.name}`,
        })
        expect(readFileSync(join(live.path, 'since'), 'utf8')).toBe('after\n')

        const before = (await container.inspect()).State.StartedAt
        const done = await fleet.job('restore', snapshot, '--in-place', '--stop-containers')
        expect(done).toMatchObject({ outcome: 'succeeded' })
        const { State } = await container.inspect()
        expect(State.Running).toBe(true)
        expect(State.StartedAt).not.toBe(before)
        // The container sees the new tree, and the old one is kept beside it.
        expect(readFileSync(join(live.path, 'was'), 'utf8')).toBe('before\n')
        expect(statSync(join(live.path, 'since'), { throwIfNoEntry: false })).toBeUndefined()
        const kept = `${live.path}.holdfast-${done.id}.old`
        expect(readFileSync(join(kept, 'since'), 'utf8')).toBe('after\n')
        rmSync(kept, { recursive: true })
      } finally {
        await container.remove({ force: true })
      }
    })

    test('is restored to a directory, whole or by path', async () => {
      const whole = join(fleet.folder, 'whole')
      const all = await fleet.job('restore', second, '--to-directory', whole)
      expect(all).toMatchObject({ outcome: 'succeeded' })
      same(volume.path, whole)
      const part = join(fleet.folder, 'part')
      const some = await fleet.job('restore', second, '--to-directory', part, '--path', '/links')
      expect(some).toMatchObject({ outcome: 'succeeded' })
      same(join(volume.path, 'links'), join(part, 'links'))
      expect(statSync(join(part, 'names'), { throwIfNoEntry: false })).toBeUndefined()
      mkdirSync(join(fleet.folder, 'full/of'), { recursive: true })
      const full = await fleet.job('restore', second, '--to-directory', join(fleet.folder, 'full'))
      expect(full).toMatchObject({ outcome: 'failed', reason: 'target-invalid' })
      rmSync(whole, { recursive: true })
      rmSync(part, { recursive: true })
    })

    test('is listed and read by people without the control plane seeing a name', async () => {
      const listed = await fleet.list('ls', second, '/times')
      const names = listed.map(({ name }) => Buffer.from(name as string, 'base64').toString())
      expect(names).toContain('nanosecond')
      const { stdout, exitCode } = await fleet.attempt('dump', second, '/links/first')
      expect(exitCode).toBe(0)
      expect(stdout.toString()).toBe('shared by three names\n')
      const database = ['holdfast.db', 'holdfast.db-wal'].map((file) =>
        readFileSync(join(fleet.data, file), { flag: 'a+' }).toString('latin1'),
      )
      expect(database.join('').includes('nanosecond')).toBe(false)
      expect(database.join('').includes('shared by three names')).toBe(false)
      expect(fleet.log().includes('nanosecond')).toBe(false)
    })
  }

  test('goes on after stock restic added a snapshot and pruned', async () => {
    const other = await restic.backup([join(volume.path, 'links')], '--host', 'elsewhere')
    await restic.run('forget', '--prune', first)
    await restic.check({ readData: true })
    const again = await host.backup(`volume:${volume.name}`)
    expect(again).toMatchObject({ outcome: 'succeeded' })
    await restic.check({ readData: true })
    const ids = (await restic.snapshots()).map(({ id }) => id)
    expect(ids).toEqual(expect.arrayContaining([second, other, again.snapshot]))
    expect(ids).not.toContain(first)
    const name = fleet.futureVolume('after-prune')
    const restore = await fleet.job('restore', again.snapshot ?? '', '--to-volume', name)
    expect(restore).toMatchObject({ outcome: 'succeeded' })
    same(volume.path, await fleet.mountpoint(name))
  })

  test('is verified by us, to the last byte', async () => {
    const verified = await fleet.job('verify', '--host', 'web-1', '--read-data')
    expect(verified).toMatchObject({ outcome: 'succeeded', reason: 'completed' })
    expect(verified.counts?.bytes).toBeGreaterThan(BODY / 4)
  })

  test('is restored on another host with the recovery kit, and only with it', async () => {
    const name = await vault.add(fleet)
    const other = await fleet.host('web-2', name === undefined ? {} : { vault: name })
    const to = fleet.futureVolume('moved')
    const words = ['restore', second, '--host', 'web-2', '--to-volume', to]
    const without = await fleet.attempt(...words)
    expect(without.exitCode).toBe(1)
    expect(without.stderr).toContain('--identity is needed to restore on another host')
    const kit = ['--identity', fleet.recovery.file]
    const wrong = await fleet.attempt(...words, ...kit, '--recipient', fleet.recovery.recipient)
    expect(wrong.stderr).toContain(
      '--recipient is not the recipient the control plane has for web-2',
    )
    const moved = await fleet.job(...words, ...kit, '--recipient', other.recipient)
    expect(moved).toMatchObject({ outcome: 'succeeded' })
    expect((await docker.connect().getVolume(to).inspect()).Name).toBe(to)
    await fleet.job('restore', second, '--to-directory', join(fleet.folder, 'second'))
    same(join(fleet.folder, 'second'), await fleet.mountpoint(to))
    await other.stop()
  })

  test('is read by stock restic with the recovery password', async () => {
    const file = join(fleet.folder, 'recovered')
    const words = ['--host', 'web-1', '--identity', fleet.recovery.file, '--password-file', file]
    const opened = await fleet.run('recovery', 'open', ...words)
    expect(opened.repository).toBe(host.repository)
    const password = readFileSync(file, 'utf8')
    expect(password.trim()).not.toBe(host.password())
    expect(statSync(file).mode & 0o777).toBe(0o600)
    const place = vault.place(host)
    const environment = place?.environment ?? {}
    const repository = place?.repository ?? resticFolder(opened)
    const judge = createRestic({ repository, password, environment })
    try {
      expect((await judge.snapshots('--no-lock')).length).toBeGreaterThan(1)
    } finally {
      judge.close()
    }
  })
}

/** The folder in the command line that `recovery open` prints. */
function resticFolder(opened: Record<string, unknown>): string {
  const { read } = opened.restic as { read: string }
  const [, quoted, bare] = /restic -r (?:'([^']+)'|(\S+))/.exec(read) ?? []
  const folder = quoted ?? bare
  if (folder === undefined) throw new Error(`no folder in: ${read}`)
  return folder
}
