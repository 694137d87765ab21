import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { dockerAddress } from '../../agent/docker/address.ts'
import { takeInventory } from '../../agent/docker/discovery.ts'
import { connectEngine, type Engine, type EngineInfo } from '../../agent/docker/engine.ts'
import {
  HOLDER_LABEL,
  holdVolume,
  NotMountedError,
  removeLeftovers,
} from '../../agent/docker/holder.ts'
import { currentMounts, mountAt } from '../../agent/docker/mountinfo.ts'
import { createWatcher } from '../../agent/docker/watcher.ts'
import type { Inventory } from '../../shared/backup/inventory.ts'
import { useDocker } from '../rig/parts.ts'
import { eventually } from '../support/agent-process.ts'
import { systemClock } from '../support/system-clock.ts'

const docker = await useDocker()

describe.skipIf(docker.missing)('the engine', () => {
  const mark = `hf-${randomBytes(4).toString('hex')}`
  const label = { 'hf.test': mark }
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bind-'))
  let engine: Engine
  let info: EngineInfo
  const client = () => docker.connect()

  beforeAll(async () => {
    engine = await connectEngine(dockerAddress({ host: docker.host }))
    info = await engine.info()
  })
  afterEach(async () => {
    for (const container of await client().listContainers({ all: true })) {
      if (container.Labels['hf.test'] === mark || container.Labels[HOLDER_LABEL] === mark) {
        await client().getContainer(container.Id).remove({ force: true })
      }
    }
    const { Volumes } = await client().listVolumes()
    for (const volume of Volumes) {
      if (volume.Labels?.['hf.test'] === mark || volume.Name.startsWith(mark)) {
        await client().getVolume(volume.Name).remove()
      }
    }
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const volume = (name: string, more: object = {}) =>
    client().createVolume({ Name: `${mark}-${name}`, Labels: label, ...more } as never)
  const bound = (name: string, device: string) =>
    volume(name, { Driver: 'local', DriverOpts: { type: 'none', o: 'bind', device } })
  async function container(name: string, binds: string[], labels: Record<string, string> = {}) {
    const made = await client().createContainer({
      name: `${mark}-${name}`,
      Image: docker.image,
      Cmd: ['sleep', '1000'],
      Labels: { ...label, ...labels },
      HostConfig: { Binds: binds, NetworkMode: 'none' },
    })
    await made.start()
    return made
  }
  const ours = (inventory: Inventory) => inventory.volumes.filter((v) => v.name.startsWith(mark))

  it('is described with volumes, their users and projects, bind mounts and what cannot be backed up', async () => {
    await volume('data')
    await volume('memory', { Driver: 'local', DriverOpts: { type: 'tmpfs', device: 'tmpfs' } })
    await bound('bound', folder)
    const compose = {
      'com.docker.compose.project': 'shop',
      'com.docker.compose.service': 'db',
    }
    await container('db', [`${mark}-data:/data`, `${folder}:/host`], compose)
    const inventory = await takeInventory(engine, () => 0, ['/srv'])
    expect(inventory.engine).toMatchObject({ rootless: false, dockerRoot: info.dockerRoot })
    const [boundVolume, data, memory] = ours(inventory)
    expect(data).toMatchObject({
      driver: 'local',
      optionNames: [],
      labels: label,
      anonymous: false,
      project: 'shop',
      service: 'db',
      usedBy: [`${mark}-db`],
    })
    expect(boundVolume).toMatchObject({ optionNames: ['device', 'o', 'type'], usedBy: [] })
    expect(JSON.stringify(boundVolume)).not.toContain(folder)
    expect(memory?.unsupported).toContain('tmpfs')
    expect(inventory.mounts).toContainEqual({ path: folder, usedBy: [`${mark}-db`] })
    expect(inventory.containers.find(({ name }) => name === `${mark}-db`)).toMatchObject({
      state: 'running',
      project: 'shop',
      service: 'db',
    })
  })

  it('names anonymous volumes as such', async () => {
    const made = await client().createContainer({
      name: `${mark}-anonymous`,
      Image: docker.image,
      Cmd: ['sleep', '1'],
      Labels: label,
      Volumes: { '/data': {} },
    })
    const inspected = await made.inspect()
    const name = inspected.Mounts[0]!.Name!
    const inventory = await takeInventory(engine, () => 0, [])
    expect(inventory.volumes.find((v) => v.name === name)).toMatchObject({ anonymous: true })
    await made.remove({ v: true })
  })

  it('holds a volume that needs mounting, shows its files, and lets go of it', async () => {
    const device = join(folder, 'held')
    mkdirSync(device)
    writeFileSync(join(device, 'file'), 'content')
    const made = await bound('held', device)
    const path =
      (made as unknown as { Mountpoint?: string }).Mountpoint ??
      join(info.dockerRoot, 'volumes', `${mark}-held`, '_data')
    expect(readdirSync(path)).toEqual([])
    const deps = { engine, info, path, host: mark, clock: systemClock }
    const holder = await holdVolume({ ...deps, volume: `${mark}-held` })
    expect(readdirSync(path)).toEqual(['file'])
    expect(mountAt(currentMounts(), path)?.id).toBe(holder.mountId)
    const [held] = (await client().listContainers()).filter((c) => c.Labels[HOLDER_LABEL] === mark)
    const inspected = await client().getContainer(held!.Id).inspect()
    expect(inspected.HostConfig).toMatchObject({
      NetworkMode: 'none',
      CapDrop: ['ALL'],
      LogConfig: { Type: 'none' },
      Privileged: false,
    })
    expect(inspected.Mounts.filter((m) => m.Type === 'bind').every((m) => !m.RW)).toBe(true)
    await holder.release()
    await holder.release()
    expect(readdirSync(path)).toEqual([])
    expect(existsSync(join(device, 'file'))).toBe(true)
  })

  it('keeps a held volume mounted when the container that used it stops', async () => {
    const device = join(folder, 'shared')
    mkdirSync(device)
    writeFileSync(join(device, 'file'), 'content')
    await bound('shared', device)
    const user = await container('user', [`${mark}-shared:/data`])
    const path = join(info.dockerRoot, 'volumes', `${mark}-shared`, '_data')
    const deps = { engine, info, path, host: mark, clock: systemClock }
    const holder = await holdVolume({ ...deps, volume: `${mark}-shared` })
    await user.remove({ force: true })
    expect(readdirSync(path)).toEqual(['file'])
    expect(mountAt(currentMounts(), path)?.id).toBe(holder.mountId)
    await holder.release()
  })

  it('says why a volume cannot be mounted, and leaves no container behind', async () => {
    await bound('broken', join(folder, 'absent'))
    const path = join(info.dockerRoot, 'volumes', `${mark}-broken`, '_data')
    const deps = { engine, info, path, host: mark, clock: systemClock }
    const failed = holdVolume({ ...deps, volume: `${mark}-broken` })
    await expect(failed).rejects.toBeInstanceOf(NotMountedError)
    await expect(failed).rejects.toThrow(/no such file or directory/)
    expect(await removeLeftovers(engine, mark)).toBe(0)
  })

  it('has the holders of a dead run removed, and no others', async () => {
    const device = join(folder, 'left')
    mkdirSync(device)
    await bound('left', device)
    const path = join(info.dockerRoot, 'volumes', `${mark}-left`, '_data')
    await holdVolume({ engine, info, path, host: mark, clock: systemClock, volume: `${mark}-left` })
    expect(await removeLeftovers(engine, 'another-host')).toBe(0)
    expect(await removeLeftovers(engine, mark)).toBe(1)
    expect(mountAt(currentMounts(), path)).toBeUndefined()
  })

  it('stops and starts containers, twice without harm, and knows which remove themselves', async () => {
    const one = await container('one', [])
    await engine.stop(one.id)
    await engine.stop(one.id)
    expect((await one.inspect()).State.Running).toBe(false)
    expect(await engine.start(one.id)).toBe(true)
    expect(await engine.start(one.id)).toBe(true)
    expect(await engine.start('no-such-container')).toBe(false)
    expect(await engine.removesItself(one.id)).toBe(false)
    expect(await engine.removesItself('no-such-container')).toBeUndefined()
    const brief = await client().createContainer({
      Image: docker.image,
      Cmd: ['sleep', '1000'],
      Labels: label,
      HostConfig: { AutoRemove: true, NetworkMode: 'none' },
    })
    expect(await engine.removesItself(brief.id)).toBe(true)
  })

  it('is watched: a new volume shows in the inventory within seconds', async () => {
    const inventories: Inventory[] = []
    const stop = new AbortController()
    const ignore = () => {}
    const watcher = createWatcher({
      connect: async () => engine,
      directories: () => [],
      clock: systemClock,
      log: { info: ignore, warn: ignore, error: ignore },
      onInventory: (inventory) => inventories.push(inventory),
      onEngineLost: ignore,
      onEngineBack: ignore,
      onEngine: ignore,
    })
    const running = watcher.run(stop.signal)
    await eventually('the first inventory', () => inventories.length > 0)
    await volume('fresh')
    await eventually('the new volume shows', () => ours(inventories.at(-1)!).length === 1)
    const before = inventories.length
    watcher.refresh()
    await eventually(
      'a refresh reports although nothing changed',
      () => inventories.length > before,
    )
    stop.abort(new Error('enough'))
    await running
  })
})
