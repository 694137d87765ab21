// Locks beside stock restic's: who waits for whom, and who leaves whose lock alone.
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { machineEnvironment } from '../rig/machine.ts'
import { useRestic } from '../rig/parts.ts'
import { resticProgram } from '../rig/restic.ts'
import { createSeeded } from '../support/seeded.ts'
import { backupOf, runMover, startMover } from './drive.ts'
import { type Scene, setScene } from './scene.ts'

const stock = await useRestic()
const seeded = createSeeded('mover locks')

describe.skipIf(stock.missing)('locks of the mover', () => {
  let scene: Scene
  let source: string

  beforeAll(async () => {
    scene = await setScene()
    source = scene.make('source')
    for (let i = 0; i < 30; i++) writeFileSync(join(source, `file ${i}`), seeded.bytes(1_000_000))
    await runMover(scene.host, scene.plane, [backupOf('v', source)])
  })
  afterAll(() => scene?.close())
  beforeEach(() => {
    scene.plane.onAsk = () => {}
  })

  /** Whole ones: restic writes beside its name first. */
  const locks = () =>
    readdirSync(join(scene.plane.directory, 'locks')).filter((name) => /^[0-9a-f]{64}$/.test(name))

  async function until(what: () => boolean): Promise<void> {
    for (let i = 0; i < 1_000 && !what(); i++) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    expect(what()).toBe(true)
  }

  /** restic check, stopped in its tracks while it holds the repository alone. */
  async function checkOnHold(): Promise<ChildProcess> {
    const child = spawn(resticProgram(), ['--no-cache', 'check', '--read-data'], {
      env: {
        ...machineEnvironment(),
        RESTIC_REPOSITORY: scene.plane.directory,
        RESTIC_PASSWORD: scene.host.password,
      },
      stdio: 'ignore',
    })
    await until(() => locks().length === 1)
    child.kill('SIGSTOP')
    return child
  }

  it('waits for a restic that holds the repository alone, and goes on after it', async () => {
    const check = await checkOnHold()
    let seenWaiting = false
    scene.plane.onAsk = (name) => {
      if (name !== 'unlock' || seenWaiting) return
      seenWaiting = true
      setTimeout(() => check.kill('SIGCONT'), 200)
    }
    const ran = await runMover(scene.host, scene.plane, [backupOf('v', source)])
    expect(seenWaiting).toBe(true)
    expect(ran.logs.map(({ message }) => message)).toContain(
      'Another program holds the repository alone; waiting',
    )
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(locks()).toEqual([])
  })

  it('keeps a lock that stock restic on the same host does not take for stale', async () => {
    const driving = startMover(scene.host, scene.plane, [backupOf('v', source)])
    let looked: Promise<void> | undefined
    scene.plane.onAsk = (name) => {
      if (name !== 'listing') return
      looked ??= (async () => {
        const [lock] = locks()
        const json = (await scene.restic.run('cat', 'lock', lock!)).json[0]
        expect(json).toMatchObject({ exclusive: false, hostname: 'holdfast@web-1' })
        await scene.restic.run('unlock')
        expect(locks()).toEqual([lock])
        // An exclusive lock is refused while a backup is under way.
        const prune = await scene.restic.attempt('prune')
        expect(prune.exitCode).not.toBe(0)
        expect(prune.stderr).toContain('already locked')
      })()
      return looked
    }
    const ran = await driving.ended
    await looked
    expect(looked).toBeDefined()
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    expect(locks()).toEqual([])
  })

  it('shares the repository with a second mover and with a restic backup', async () => {
    writeFileSync(join(source, 'more'), seeded.bytes(3_000_000))
    const [one, two, theirs] = await Promise.all([
      runMover(scene.host, scene.plane, [backupOf('v', source)]),
      runMover(scene.host, scene.plane, [backupOf('w', source)]),
      scene.restic.backup([source]),
    ])
    expect([...one.done, ...two.done].map(({ outcome }) => outcome)).toEqual([
      'succeeded',
      'succeeded',
    ])
    await scene.restic.check()
    expect((await scene.restic.snapshots()).map(({ id }) => id)).toContain(theirs)
  })

  it('goes on in a repository that stock restic pruned', async () => {
    await scene.restic.run('forget', '--keep-last', '1', '--group-by', 'paths', '--prune')
    writeFileSync(join(source, 'after prune'), seeded.bytes(1_000_000))
    const parent = scene.plane.receipts.at(-1)!.snapshot
    const ran = await runMover(scene.host, scene.plane, [backupOf('w', source, { parent })])
    expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
    await scene.restic.check()
  })
})
