import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startDockerd } from './dockerd.ts'
import { ensureTestImage } from './image.ts'
import { sweep } from './leftovers.ts'
import { projectRoot } from './machine.ts'
import { useDocker } from './parts.ts'
import { waitUntil } from './processes.ts'

const docker = await useDocker()

/** Command lines of live processes that contain `mark`. */
const processesOf = (mark: string) =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        return line.includes(mark) ? [line.replaceAll('\0', ' ')] : []
      } catch {
        return []
      }
    })
const mountsBelow = (folder: string) =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(`${folder}/`))

describe.skipIf(docker.missing ?? !docker.private)('a private engine', () => {
  test('comes back after a crash with its volumes, and leaves nothing when stopped', async () => {
    const engine = await startDockerd()
    const scratch = dirname(engine.socketPath)
    try {
      const Image = await ensureTestImage(engine.docker)
      await engine.docker.createVolume({ Name: 'kept' })
      const container = await engine.docker.createContainer({
        Image,
        Cmd: ['sleep', '1000'],
        StopTimeout: 1,
      })
      await container.start()
      await engine.crashAndRestart()
      expect((await engine.docker.getVolume('kept').inspect()).Name).toBe('kept')
    } finally {
      await engine.stop()
    }
    expect(processesOf(scratch)).toEqual([])
    expect(mountsBelow(scratch)).toEqual([])
    expect(existsSync(scratch)).toBe(false)
  })

  test('of a run that was killed is cleared away by the next one', async () => {
    const source = `
      import { startDockerd } from './test/rig/dockerd.ts'
      import { ensureTestImage } from './test/rig/image.ts'
      const { docker, socketPath } = await startDockerd()
      const Image = await ensureTestImage(docker)
      const network = await docker.createNetwork({ Name: 'left' })
      const container = await docker.createContainer({ Image, Cmd: ['sleep', '1000'], StopTimeout: 1, HostConfig: { NetworkMode: 'left' } })
      await container.start()
      console.log(socketPath + ' br-' + network.id.slice(0, 12))
      setInterval(() => {}, 1000)
    `
    const victim = spawn(process.execPath, ['--input-type=module', '--eval', source], {
      cwd: projectRoot,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [socketPath = '', bridge] = String((await once(victim.stdout, 'data'))[0])
      .trim()
      .split(' ')
    const scratch = dirname(socketPath)
    expect(processesOf(scratch)).not.toEqual([])
    expect(readdirSync('/sys/class/net')).toContain(bridge)
    victim.kill('SIGKILL')
    await once(victim, 'exit')
    await sweep(() => {})
    // Another run on this machine may have swept first; what counts is that everything goes.
    await waitUntil('all was gone', 40, () => !existsSync(scratch))
    expect(processesOf(scratch)).toEqual([])
    expect(mountsBelow(scratch)).toEqual([])
    expect(readdirSync('/sys/class/net')).not.toContain(bridge)
  })
})
