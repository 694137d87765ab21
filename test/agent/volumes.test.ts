import { randomBytes } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { HOLDER_LABEL } from '../../agent/docker/holder.ts'
import type { RestoreTarget, VolumeDefinition } from '../../shared/backup/job.ts'
import { toBase64, utf8 } from '../../shared/bytes.ts'
import type { AssignedJob } from '../../shared/protocol/from-control.ts'
import { useDocker } from '../rig/parts.ts'
import {
  enrolHost,
  eventually,
  type RunningAgent,
  removeState,
  startAgent,
} from '../support/agent-process.ts'
import { ScriptedPlane } from '../support/scripted-plane.ts'
import { job, runOf } from '../support/scripted-run.ts'

const docker = await useDocker()

describe.skipIf(docker.missing)('an agent with an engine', () => {
  const mark = `hf-${randomBytes(4).toString('hex')}`
  const label = { 'hf.test': mark }
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bind-'))
  const client = () => docker.connect()
  let plane: ScriptedPlane
  let state: string
  let agent: RunningAgent
  let volumes: string

  const start = async () => {
    const before = plane.welcomes.length
    agent = startAgent(state, { env: { DOCKER_HOST: docker.host } })
    await eventually('it is welcomed', () => plane.welcomes.length > before)
  }
  beforeAll(async () => {
    plane = await ScriptedPlane.start()
    state = await enrolHost(plane)
    writeFileSync(join(state, 'repository.password'), 'p\n')
    volumes = join((await client().info()).DockerRootDir, 'volumes')
    await start()
  })
  afterAll(async () => {
    await agent.kill()
    await plane.stop()
    removeState(state)
    rmSync(folder, { recursive: true })
  })
  afterEach(async () => {
    for (const { Id, Labels } of await client().listContainers({ all: true })) {
      if (Labels['hf.test'] === mark || Labels[HOLDER_LABEL] === plane.host) {
        await client().getContainer(Id).remove({ force: true })
      }
    }
    const { Volumes } = await client().listVolumes()
    for (const { Name } of Volumes) {
      if (Name.startsWith(mark)) await client().getVolume(Name).remove()
    }
  })

  const volume = (name: string, more: object = {}) =>
    client().createVolume({ Name: `${mark}-${name}`, Labels: label, ...more } as never)
  const dataOf = (name: string) => join(volumes, `${mark}-${name}`, '_data')
  async function container(name: string, volumeName: string, more: object = {}) {
    const made = await client().createContainer({
      name: `${mark}-${name}`,
      Image: docker.image,
      // Ends at once when it is asked to, as a good service does.
      Cmd: ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 0.1; done'],
      Labels: label,
      HostConfig: { Binds: [`${mark}-${volumeName}:/data`], NetworkMode: 'none' },
      ...more,
    })
    await made.start()
    return made
  }
  const stateOf = async (id: string) => (await client().getContainer(id).inspect()).State

  function backup(name: string, script = 'note'): AssignedJob {
    return job({
      kind: 'backup',
      source: { kind: 'volume', name },
      time: new Date().toISOString(),
      tags: [script],
      volatile: [],
      readAll: false,
    })
  }
  function restore(
    target: RestoreTarget,
    more: { script?: string; from?: string; volume?: VolumeDefinition } = {},
  ): AssignedJob {
    return job({
      kind: 'restore',
      snapshot: 'a'.repeat(64),
      source: { kind: 'volume', name: more.from ?? `${mark}-old` },
      target,
      paths: more.script === undefined ? [] : [toBase64(utf8(more.script))],
      ...(more.volume === undefined ? {} : { volume: more.volume }),
    })
  }
  async function carryOut(one: AssignedJob) {
    plane.send(runOf(plane.repository, [one]))
    return finishOf(one)
  }
  async function finishOf(one: AssignedJob) {
    const found = () => plane.finishes.find((finish) => finish.job === one.id)
    await eventually(
      `the end of ${one.parameters.kind}\n${agent.output()}`,
      () => found() !== undefined,
      30,
    )
    return found()!
  }
  const inPlace = (name: string, stopContainers = false, keepOldHours = 24): RestoreTarget => ({
    kind: 'in-place',
    name: `${mark}-${name}`,
    stopContainers,
    keepOldHours,
  })

  it('says what engine it found', async () => {
    const found = () => plane.events.find((event) => event.kind === 'inventory')
    await eventually('the inventory arrives', () => found() !== undefined)
    expect(found()?.inventory.engine).toMatchObject({ rootless: false })
  })

  it('reads a plain volume from its mountpoint, and hands over its definition', async () => {
    await volume('plain')
    const note = join(folder, 'note')
    const one = backup(`${mark}-plain`, `note:${note}`)
    expect(await carryOut(one)).toMatchObject({ outcome: 'succeeded' })
    const { prepared } = JSON.parse(readFileSync(note, 'utf8'))
    expect(prepared).toEqual([
      {
        job: one.id,
        path: dataOf('plain'),
        idShift: 0,
        volume: { driver: 'local', labels: label, options: {} },
      },
    ])
  })

  it('has a volume with driver options mounted while it is read, and not after', async () => {
    const device = join(folder, 'device')
    mkdirSync(device)
    await volume('bound', { Driver: 'local', DriverOpts: { type: 'none', o: 'bind', device } })
    writeFileSync(join(device, 'file'), '')
    const one = backup(`${mark}-bound`, 'hang')
    const run = runOf(plane.repository, [one])
    plane.send(run)
    await eventually('it shows its files', () => readdirSync(dataOf('bound')).length === 1)
    plane.send({ type: 'cancel', batch: run.batch, jobs: [one.id] })
    expect(await finishOf(one)).toMatchObject({ outcome: 'cancelled' })
    await eventually('it is let go', () => readdirSync(dataOf('bound')).length === 0)
  })

  it('refuses the commit of a volume that was taken away while it was read', async () => {
    const device = join(folder, 'taken')
    mkdirSync(device)
    await volume('taken', { Driver: 'local', DriverOpts: { type: 'none', o: 'bind', device } })
    plane.answers.set('grants', () => {
      throw new Error('wait') // as a fault of the plane: the mover asks again
    })
    const one = backup(`${mark}-taken`, 'commit')
    plane.send(runOf(plane.repository, [one]))
    const holders = async () =>
      (await client().listContainers()).filter((c) => c.Labels[HOLDER_LABEL] === plane.host)
    await eventually('it is held', async () => (await holders()).length === 1)
    await eventually('the mover asks', () =>
      plane.calls.some(({ path }) => path.endsWith('/grants')),
    )
    await client()
      .getContainer((await holders())[0]!.Id)
      .remove({ force: true })
    plane.answers.clear()
    expect(await finishOf(one)).toMatchObject({
      outcome: 'failed',
      message: 'in-use: the source was unmounted or replaced while it was read',
    })
  })

  it('says of a volume that it is missing, in memory, or cannot be mounted', async () => {
    await volume('memory', { Driver: 'local', DriverOpts: { type: 'tmpfs', device: 'tmpfs' } })
    const device = join(folder, 'absent')
    await volume('broken', { Driver: 'local', DriverOpts: { type: 'none', o: 'bind', device } })
    expect(await carryOut(backup(`${mark}-nowhere`))).toMatchObject({
      outcome: 'failed',
      reason: 'source-missing',
      message: `there is no volume ${mark}-nowhere`,
    })
    expect(await carryOut(backup(`${mark}-memory`))).toMatchObject({
      outcome: 'failed',
      reason: 'source-empty-mount',
      message: 'a tmpfs volume has no files on any disk',
    })
    expect(await carryOut(backup(`${mark}-broken`))).toMatchObject({
      outcome: 'failed',
      reason: 'source-empty-mount',
      message: expect.stringContaining('the volume could not be mounted: '),
    })
  })

  it('makes a new volume for a restore, without the labels and options that belong to the old one', async () => {
    const definition = {
      driver: 'local',
      labels: { ...label, 'com.docker.compose.project': 'shop' },
    }
    const target = { kind: 'new-volume', name: `${mark}-copy` } as const
    const one = restore(target, { volume: definition })
    const finish = await carryOut(one)
    expect(JSON.parse(finish.message!)).toEqual({ job: one.id, path: dataOf('copy'), idShift: 0 })
    expect(await client().getVolume(`${mark}-copy`).inspect()).toMatchObject({
      Labels: { ...label, 'holdfast.restored-from': `${mark}-old` },
    })
    expect(await carryOut(restore(target, { volume: definition }))).toMatchObject({
      outcome: 'failed',
      reason: 'target-invalid',
      message: `there is a volume ${mark}-copy already`,
    })
  })

  it('goes on with the volume that an earlier attempt of the same job made', async () => {
    const one = restore({ kind: 'new-volume', name: `${mark}-again` }, { script: 'exit' })
    expect(await carryOut(one)).toMatchObject({ outcome: 'lost' })
    writeFileSync(join(dataOf('again'), 'half'), '')
    plane.finishes.length = 0
    const second = { ...one, attempt: 2, fence: 2, parameters: { ...one.parameters, paths: [] } }
    const finish = await carryOut(second as AssignedJob)
    expect(finish).toMatchObject({ outcome: 'succeeded', attempt: 2 })
  })

  it('restores a volume under its own name with its labels as they were', async () => {
    const labels = { ...label, 'com.docker.compose.project': 'shop' }
    const target = { kind: 'new-volume', name: `${mark}-same` } as const
    const one = restore(target, { from: `${mark}-same`, volume: { driver: 'local', labels } })
    expect(await carryOut(one)).toMatchObject({ outcome: 'succeeded' })
    const made = await client().getVolume(`${mark}-same`).inspect()
    expect(made.Labels).toEqual(labels)
  })

  it('does not restore over a volume that running containers use', async () => {
    await volume('live')
    const user = await container('user', 'live')
    expect(await carryOut(restore(inPlace('live')))).toMatchObject({
      outcome: 'failed',
      reason: 'source-in-use',
      message: `running containers use the volume: ${mark}-user`,
    })
    expect((await stateOf(user.id)).Running).toBe(true)
  })

  it('stops them when told to, exchanges the folders, starts them again and keeps the old content', async () => {
    await volume('live')
    writeFileSync(join(dataOf('live'), 'old'), '')
    const user = await container('user', 'live')
    const idle = await container('idle', 'live')
    await idle.kill()
    const before = (await stateOf(user.id)).StartedAt
    const one = restore(inPlace('live', true), { script: 'exchange' })
    expect(await carryOut(one)).toMatchObject({ outcome: 'succeeded' })
    await eventually('it runs again', async () => (await stateOf(user.id)).Running)
    expect((await stateOf(user.id)).StartedAt).not.toBe(before)
    expect((await stateOf(idle.id)).Running).toBe(false)
    expect(readdirSync(dataOf('live'))).toEqual(['new'])
    const old = `${dataOf('live')}.holdfast-${one.id}.old`
    expect(readdirSync(old)).toEqual(['old'])
  })

  it('replaces nothing under a container that began to use the volume meanwhile', async () => {
    await volume('live')
    writeFileSync(join(dataOf('live'), 'old'), '')
    const sign = join(folder, 'go on')
    const one = restore(inPlace('live', true), { script: `exchange-after:${sign}` })
    const ended = carryOut(one)
    await eventually('the mover began', () => agent.output().includes('a mover began'))
    const late = await container('late', 'live')
    writeFileSync(sign, '')
    expect(await ended).toMatchObject({
      outcome: 'failed',
      message: `in-use: containers began to use the volume during the restore: ${mark}-late`,
    })
    expect(readdirSync(dataOf('live'))).toEqual(['old'])
    expect((await stateOf(late.id)).Running).toBe(true)
  })

  it('does not stop a container that would be gone for good', async () => {
    await volume('live')
    const options = { NetworkMode: 'none', AutoRemove: true, Binds: [`${mark}-live:/data`] }
    const brief = await container('brief', 'live', { HostConfig: options })
    expect(await carryOut(restore(inPlace('live', true)))).toMatchObject({
      outcome: 'failed',
      reason: 'target-invalid',
      message: expect.stringContaining('is removed by the engine when it stops'),
    })
    expect((await stateOf(brief.id)).Running).toBe(true)
  })

  it('offers no exchange where the volume is a mount of its own', async () => {
    const device = join(folder, 'own-mount')
    mkdirSync(device)
    await volume('mount', { Driver: 'local', DriverOpts: { type: 'none', o: 'bind', device } })
    expect(await carryOut(restore(inPlace('mount')))).toMatchObject({
      outcome: 'failed',
      reason: 'target-invalid',
      message: expect.stringContaining('restore into a new volume'),
    })
  })

  it('restores into a directory that is absent or empty, and into no other', async () => {
    const target = join(folder, 'restored', 'here')
    const one = restore({ kind: 'directory', path: target })
    expect(await carryOut(one)).toMatchObject({ outcome: 'succeeded' })
    expect(existsSync(target)).toBe(true)
    writeFileSync(join(target, 'something'), '')
    const cases = [
      [target, 'the target directory is not empty'],
      [join(target, 'something'), 'the target is there and is no directory'],
      [state, "the agent's own state lies there"],
      ['/', 'the directory must be absolute, without empty or dotted parts'],
      [`${target}/../x`, 'the directory must be absolute, without empty or dotted parts'],
    ]
    for (const [path, message] of cases) {
      const refused = await carryOut(restore({ kind: 'directory', path: path! }))
      expect(refused).toMatchObject({ outcome: 'failed', reason: 'target-invalid', message })
    }
  })

  it('starts containers again that a killed agent had stopped, and removes its holders', {
    timeout: 120_000,
  }, async () => {
    const device = join(folder, 'left')
    mkdirSync(device, { recursive: true })
    await volume('left', { Driver: 'local', DriverOpts: { type: 'none', o: 'bind', device } })
    await volume('live')
    const user = await container('user', 'live')
    const paused = await container('paused', 'live')
    await paused.pause()
    const jobs = [
      restore(inPlace('live', true), { script: 'deaf' }),
      backup(`${mark}-left`, 'deaf'),
    ]
    const begun = () => agent.output().split('a mover began').length
    const before = begun()
    for (const one of jobs) plane.send(runOf(plane.repository, [one]))
    await eventually('it is stopped', async () => !(await stateOf(user.id)).Running, 30)
    await eventually('the movers began', () => begun() >= before + jobs.length, 30)
    await agent.kill()
    expect((await stateOf(user.id)).Running).toBe(false)
    plane.events.length = 0
    await start()
    await eventually(
      'both run again',
      async () => {
        const [one, two] = [await stateOf(user.id), await stateOf(paused.id)]
        return one.Running && two.Running && two.Paused
      },
      30,
    )
    await eventually('it is told', () => plane.events.some((event) => event.kind === 'notice'), 40)
    const notice = plane.events.find((event) => event.kind === 'notice')
    expect(notice).toMatchObject({
      code: 'containers-restarted',
      message: expect.stringContaining(`${mark}-user`),
    })
    for (const one of jobs) expect(await finishOf(one)).toMatchObject({ outcome: 'lost' })
    await eventually('its holders are removed', async () => {
      const all = await client().listContainers({ all: true })
      return all.every((c) => c.Labels[HOLDER_LABEL] !== plane.host)
    })
  })
})
