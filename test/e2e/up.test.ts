// `holdfast up`: one command, and it looks after what it started.
import { mkdtempSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { noTraces, type Remembered, remember } from '../rig/leftovers.ts'
import { useDocker } from '../rig/parts.ts'
import { freePorts } from '../rig/ports.ts'
import { eventually } from '../support/agent-process.ts'
import { compareTrees, printDifference } from '../support/compare-trees.ts'
import { childOf } from '../support/fleet.ts'
import { type Product, startProduct } from '../support/product.ts'
import { writeBody } from '../support/tree-body.ts'

const docker = await useDocker()

describe.skipIf(docker.missing)('holdfast up', () => {
  let folder: string
  let product: Product
  let remembered: Remembered
  const engine = () => docker.connect()
  const volumes: string[] = []
  let port = 0

  const start = () =>
    startProduct({ data: join(folder, 'data'), port, name: 'alone', dockerHost: docker.host })

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'holdfast-up-'))
    remembered = remember({ ...noTraces, what: 'holdfast up', marks: [folder], folders: [folder] })
    port = (await freePorts(1))[0]!
    product = await start()
  })
  afterAll(async () => {
    await product?.stop()
    for (const name of volumes) await engine().getVolume(name).remove({ force: true })
    await remembered?.clear()
  })

  const nameOf = (name: string) => {
    const whole = `${name}-${folder.slice(-6).toLowerCase()}`
    volumes.push(whole)
    return whole
  }

  test('prints where it is, a token and a recovery kit that only root may read', async () => {
    expect(product.url).toBe(`http://127.0.0.1:${port}`)
    expect(product.token).toMatch(/^hf_api_/)
    expect(statSync(product.recoveryKit).mode & 0o777).toBe(0o600)
    expect(await product.list('hosts')).toMatchObject([{ name: 'alone', vault: 'local' }])
  })

  test('starts again what dies under it, and a backup that was under way completes', async () => {
    const name = nameOf('survivor')
    await engine().createVolume({ Name: name })
    const path = (await engine().getVolume(name).inspect()).Mountpoint
    writeBody(join(path, 'body'), 30_000_000, 'up')
    await eventually(
      'it was offered',
      async () => JSON.stringify(await product.list('sources')).includes(name),
      30,
    )
    const { id } = await product.run('backup', '--volume', name, '--no-wait')
    const up = product.up.pid!
    await eventually('the agent was at work', () => {
      const agent = childOf(up, 'agent/main.ts')
      return agent !== undefined && childOf(agent, 'agent/mover/main.ts') !== undefined
    })
    const plane = childOf(up, 'control-plane/node/main.ts')!
    process.kill(plane, 'SIGKILL')
    const job = await product.run('job', 'watch', id as string)
    expect(job).toMatchObject({ outcome: 'succeeded' })
    expect(childOf(up, 'control-plane/node/main.ts')).not.toBe(plane)
    expect((await product.list('snapshots')).length).toBe(1)
  })

  test('backs up a volume with driver options, which is empty until somebody mounts it', async () => {
    const device = join(folder, 'device')
    writeBody(device, 1_000_000, 'device')
    const name = nameOf('bound')
    const options = { type: 'none', o: 'bind', device }
    await engine().createVolume({ Name: name, Driver: 'local', DriverOpts: options })
    await eventually(
      'it was offered',
      async () => JSON.stringify(await product.list('sources')).includes(name),
      30,
    )
    const job = await product.run('backup', '--volume', name)
    expect(job).toMatchObject({ outcome: 'succeeded' })
    expect((job.counts as { bytes: number }).bytes).toBe(1_000_000)
    const target = nameOf('bound-restored')
    await product.run('restore', job.snapshot as string, '--to-volume', target)
    const restored = (await engine().getVolume(target).inspect()).Mountpoint
    expect(compareTrees(device, restored).differences.map(printDifference)).toEqual([])
    // What mounted it is gone.
    const holders = await engine().listContainers({ all: true, filters: { volume: [name] } })
    expect(holders).toEqual([])
  })

  test('goes on with what is there when it is started again', async () => {
    await product.stop()
    product = await start()
    // The token was shown once.
    expect(product.token).toBe('')
    expect((await product.list('snapshots')).length).toBe(2)
    const job = await product.run('backup', '--volume', volumes[0]!)
    expect(job).toMatchObject({ outcome: 'succeeded', hostName: 'alone' })
    expect((job.counts as { filesUnmodified: number }).filesUnmodified).toBeGreaterThan(0)
  })
})
