import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type PrivateDockerd, startDockerd } from '../rig/dockerd.ts'
import { useDocker } from '../rig/parts.ts'
import {
  enrolHost,
  eventually,
  type RunningAgent,
  removeState,
  startAgent,
} from '../support/agent-process.ts'
import { ScriptedPlane } from '../support/scripted-plane.ts'

const docker = await useDocker()

describe.skipIf(docker.missing)('an engine that goes away', () => {
  let dockerd: PrivateDockerd
  let plane: ScriptedPlane
  let state: string
  let agent: RunningAgent

  beforeAll(async () => {
    dockerd = await startDockerd()
    plane = await ScriptedPlane.start()
    state = await enrolHost(plane)
    agent = startAgent(state, { env: { DOCKER_HOST: `unix://${dockerd.socketPath}` } })
  })
  afterAll(async () => {
    await agent?.kill()
    await dockerd?.stop()
    await plane?.stop()
    removeState(state)
  })

  it('is told, and so is that it is back, with an inventory that is up to date', async () => {
    const inventories = () => plane.events.filter((event) => event.kind === 'inventory')
    await eventually('the first inventory', () => inventories().length > 0)
    await dockerd.crashAndRestart()
    const codes = () =>
      plane.events.flatMap((event) => (event.kind === 'notice' ? [event.code] : []))
    const name = `hf-${randomBytes(4).toString('hex')}`
    await dockerd.docker.createVolume({ Name: name })
    await eventually(
      'the new volume shows',
      () =>
        inventories()
          .at(-1)!
          .inventory.volumes.some((volume) => volume.name === name),
      40,
    )
    // A restart may be over before the agent looks; if it was seen to be gone it must be seen to be back.
    const back = codes().filter((code) => code === 'docker-back').length
    expect(codes().filter((code) => code === 'docker-unreachable')).toHaveLength(back)
  })

  it('is told when it stays away', async () => {
    await dockerd.stop()
    await eventually(
      'it is told',
      () =>
        plane.events.some(
          (event) => event.kind === 'notice' && event.code === 'docker-unreachable',
        ),
      40,
    )
  })
})
