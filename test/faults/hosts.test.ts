// Hosts with files nobody may read, files that never hold still, full disks and damaged repositories.
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { unmountBelow } from '../rig/leftovers.ts'
import { useDocker, useRestic } from '../rig/parts.ts'
import { agentCommand, eventually } from '../support/agent-process.ts'
import {
  diskRepository,
  type Fleet,
  type FleetHost,
  type Job,
  startFleet,
} from '../support/fleet.ts'
import { createSeeded } from '../support/seeded.ts'

const docker = await useDocker()
const restic = await useRestic()

let fleet: Fleet
beforeAll(async () => {
  fleet = await startFleet({ docker })
})
afterAll(() => fleet?.stop())

function makeSource(name: string): string {
  const folder = join(fleet.folder, name)
  mkdirSync(folder)
  writeFileSync(join(folder, 'plain'), 'plain\n')
  return folder
}

/** What one host offers for several tests, by name. */
const shared = ['restless', 'forgetful'] as const
let sharedHost: FleetHost | undefined

/** A directory of the host that several tests share. */
async function onSharedHost(name: (typeof shared)[number]) {
  if (sharedHost === undefined) {
    const directories = shared.map((one) => makeSource(`source-${one}`))
    sharedHost = await fleet.host('plain', { directories })
    await sharedHost.offers(`directory:${directories[0]}`)
  }
  const host = sharedHost
  const source = join(fleet.folder, `source-${name}`)
  return { host, source, backup: () => host.backup(`directory:${source}`) }
}

/** A host of its own with one directory to back up. */
async function hostWith(name: string, more: Parameters<Fleet['host']>[1] = {}) {
  const source = makeSource(`source-${name}`)
  const host = await fleet.host(name, { directories: [source], ...more })
  await host.offers(`directory:${source}`)
  return { host, source, backup: () => host.backup(`directory:${source}`) }
}

/** What happened to which file, as the sealed report says it to the holder of the recovery kit. */
async function report(job: Job): Promise<string[]> {
  expect(job.hasReport).toBe(true)
  const words = ['job', 'report', job.id, '--identity', fleet.recovery.file]
  const { names } = (await fleet.run(...words)) as { names: { what: string; path: string }[] }
  return names.map(({ what, path }) => `${what} ${Buffer.from(path, 'base64')}`)
}

describe.skipIf(docker.missing ?? restic.missing)('A host', () => {
  test('that may not read a file says so in a warning, and names it to the holder of the kit alone', async () => {
    // In a user namespace that knows only root, even root may not read the files of others.
    const { host, source } = await hostWith('unreadable', {
      through: ['unshare', '--user', '--map-root-user'],
    })
    writeFileSync(join(source, 'locked-away'), 'secret\n')
    chownSync(join(source, 'locked-away'), 4_242, 4_242)
    chmodSync(join(source, 'locked-away'), 0o600)
    const ran = await fleet.attempt('backup', '--host', host.name, '--directory', source)
    expect(ran.exitCode).toBe(3)
    const job = ran.json.at(-1) as unknown as Job
    expect(job).toMatchObject({
      outcome: 'warning',
      reason: 'files-unreadable',
      counts: { unreadable: 1 },
    })
    expect(JSON.stringify(job)).not.toContain('locked-away')
    expect(await report(job)).toEqual(['unreadable locked-away'])
    const snapshot = await fleet.list('ls', job.snapshot!)
    expect(snapshot.map(({ name }) => Buffer.from(name as string, 'base64').toString())).toEqual([
      'plain',
    ])
  })

  test('whose file changes while it is read says so in a warning', async () => {
    const { source, backup } = await onSharedHost('restless')
    const restless = join(source, 'restless')
    writeFileSync(restless, createSeeded('restless').bytes(30_000_000))
    const fd = openSync(restless, 'r+')
    const writer = setInterval(() => writeSync(fd, `${performance.now()}`, 29_000_000), 5)
    let job: Job
    try {
      job = await backup()
    } finally {
      clearInterval(writer)
      closeSync(fd)
    }
    expect(job).toMatchObject({
      outcome: 'warning',
      reason: 'files-changed',
      counts: { changed: 1, unreadable: 0 },
    })
    expect(await report(job)).toEqual(['changed restless'])
    expect((await backup()).outcome).toBe('succeeded')
  })

  test('whose volume is gone when its turn comes fails with the reason', async () => {
    const { host } = await hostWith('volumeless')
    const volume = await fleet.volume('gone')
    await host.offers(`volume:${volume.name}`)
    await host.stop()
    await docker.connect().getVolume(volume.name).remove()
    const words = ['backup', '--host', host.name, '--volume', volume.name, '--no-wait']
    const { id } = await fleet.run(...words)
    host.start()
    const job = await fleet.job('job', 'watch', id as string)
    expect(job).toMatchObject({ outcome: 'failed', reason: 'source-missing' })
    expect(job.message).toContain(volume.name)
  })

  test('with the wrong password fails with 12', async () => {
    const { host, source, backup } = await onSharedHost('forgetful')
    expect((await backup()).outcome).toBe('succeeded')
    const file = join(host.state, 'repository.password')
    const right = readFileSync(file, 'utf8')
    writeFileSync(file, right.split('').toReversed().join('').trim())
    const ran = await fleet.attempt('backup', '--host', host.name, '--directory', source)
    expect(ran.exitCode).toBe(12)
    expect(ran.json.at(-1)).toMatchObject({ outcome: 'failed', reason: 'wrong-password' })
    writeFileSync(file, right)
    expect((await backup()).outcome).toBe('succeeded')
  })

  test('whose repository lost the end of a pack finds it by verifying, and restores all else', async () => {
    const { host, source, backup } = await hostWith('damaged')
    writeFileSync(join(source, 'large'), createSeeded('large').bytes(3_000_000))
    const { snapshot } = await backup()
    const folder = join(diskRepository(fleet.data, host.repository), 'data')
    const packs = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .map((name) => join(folder, name))
      .filter((path) => statSync(path).isFile())
      .toSorted((a, b) => statSync(b).size - statSync(a).size)
    const [largest] = packs
    chmodSync(largest!, 0o640)
    truncateSync(largest!, statSync(largest!).size - 100_000)
    const verify = await fleet.job('verify', '--host', host.name, '--read-data')
    expect(verify).toMatchObject({ outcome: 'failed', reason: 'repository-damaged' })
    const target = join(fleet.folder, 'from-damaged')
    const restore = await fleet.job('restore', snapshot!, '--to-directory', target)
    expect(restore).toMatchObject({ outcome: 'failed', reason: 'repository-damaged' })
  })

  test('whose clock is an hour off backs up and restores all the same', async () => {
    const skew = `data:text/javascript,${encodeURIComponent(
      'const now = Date.now; Date.now = () => now() + 3600000',
    )}`
    const { host, backup } = await hostWith('early', {
      environment: { NODE_OPTIONS: `--import=${skew}` },
    })
    const job = await backup()
    expect(job.outcome).toBe('succeeded')
    // The snapshot's time is the control plane's.
    const [snapshot] = await fleet.list('snapshots', '--host', host.name)
    expect(Math.abs(Date.parse(snapshot!.time as string) - Date.now())).toBeLessThan(600_000)
    expect(host.agent.output()).toContain(
      new Date(Date.now() + 3_600_000).toISOString().slice(0, 13),
    )
    const target = join(fleet.folder, 'from-early')
    const restore = await fleet.job('restore', job.snapshot!, '--to-directory', target)
    expect(restore.outcome).toBe('succeeded')
  })

  test('whose state directory is full still backs up, and says that it is full', async () => {
    const state = join(fleet.folder, 'small')
    mkdirSync(state)
    // 64 MiB are kept back for reports; what is left holds an enrolment and little more.
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=72m', 'small', state])
    try {
      const { host, backup } = await hostWith('full', { state: join(state, 'agent') })
      const fd = openSync(join(state, 'filler'), 'w')
      const piece = Buffer.alloc(65_536, 1)
      try {
        for (;;) writeSync(fd, piece)
      } catch (error) {
        expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC')
      } finally {
        closeSync(fd)
      }
      // The cache has no room, and the snapshot does not need one; journal and reports live on the reserve.
      expect((await backup()).outcome).toBe('succeeded')
      expect((await backup()).outcome).toBe('succeeded')
      // It looks when it connects, and every five minutes.
      await host.kill()
      host.start()
      const notices = () => fleet.list('audit', '--action', 'host.notice', '--host', host.name)
      await eventually('the host told of its disk', async () => (await notices()).length > 0, 30)
      expect(JSON.stringify(await notices())).toContain('state-disk-full')
      await fleet.restic(host).check({ readData: true })
      await host.stop()
    } finally {
      unmountBelow(state)
    }
  })

  test('whose state directory has no room for what it keeps back is not enrolled', async () => {
    const state = join(fleet.folder, 'tiny')
    mkdirSync(state)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tiny', state])
    try {
      const { token } = await fleet.run('enroll-token')
      const words = [
        'enroll',
        '--url',
        fleet.url,
        '--name',
        'tiny',
        '--state',
        join(state, 'agent'),
      ]
      const ended = await agentCommand([...words, '--recovery', fleet.recovery.recipient], {
        input: `${token}\n`,
      })
      expect(ended.code).toBe(1)
      expect(ended.stderr).toContain('the state directory has no room for the 64 MiB it keeps')
    } finally {
      unmountBelow(state)
    }
  })
})
