// Making a repository when something goes wrong in the middle: the same bytes again, or nothing at all.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { backupOf, type Host, makeHost, runMover, startMover } from './drive.ts'
import { type FakePlane, Refused, startFakePlane } from './fake-plane.ts'
import { openAge } from './scene.ts'

let folder: string
let host: Host
let plane: FakePlane
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-init-'))
  host = await makeHost(join(folder, 'state'))
  mkdirSync(host.state)
  plane = await startFakePlane(join(folder, 'repository'))
})
afterEach(async () => {
  await plane.close()
  rmSync(folder, { recursive: true, force: true })
})

const init = { parameters: { kind: 'init' } } as const
const keys = () => readdirSync(join(plane.directory, 'keys'))

it('sends the same bytes after kill -9, whether the first ones arrived or not', async () => {
  for (const moment of ['onAsk', 'afterAsk'] as const) {
    const driving = startMover(host, plane, [init])
    plane[moment] = (name) => {
      if (name === 'initialise') {
        driving.kill()
        throw new Refused('plane-unavailable')
      }
    }
    expect((await driving.ended).signal).toBe('SIGKILL')
    plane[moment] = () => {}
  }
  const config = readFileSync(join(plane.directory, 'config'))
  const ran = await runMover(host, plane, [init])
  expect(ran.done).toMatchObject([{ outcome: 'succeeded' }])
  expect(readFileSync(join(plane.directory, 'config')).equals(config)).toBe(true)
  expect(keys()).toHaveLength(2)
  const bodies = plane.asked.filter(({ name }) => name === 'initialise')
  expect(bodies).toHaveLength(3)
  const made = bodies.map(({ body }) => {
    const { config, keys, escrow } = body as Record<string, unknown>
    return JSON.stringify({ config, keys, escrow })
  })
  expect(new Set(made).size).toBe(1)
})

it('leaves the recovery password nowhere but in the escrow', async () => {
  const ran = await runMover(host, plane, [init])
  const recovery = await openAge(plane.escrow!.sealed, host.recovery.identity)
  expect(Buffer.from(recovery, 'base64url')).toHaveLength(32)
  const kept = readdirSync(host.state, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
  expect(kept.length).toBeGreaterThan(0)
  for (const text of [...kept, ran.said, ran.stderr, JSON.stringify(plane.asked)]) {
    expect(text).not.toContain(recovery)
    expect(text).not.toContain(host.password)
  }
})

it('makes nothing without a recovery recipient', async () => {
  const ran = await runMover(host, plane, [init], { recoveryRecipient: undefined })
  expect(ran.done).toMatchObject([{ outcome: 'failed', reason: 'no-recovery-recipient' }])
  expect(plane.asked).toEqual([])
})

it('fails where another repository lies already', async () => {
  await runMover(host, plane, [init])
  const other = await makeHost(join(folder, 'other state'))
  mkdirSync(other.state)
  const ran = await runMover(other, plane, [init])
  expect(ran.done).toMatchObject([{ outcome: 'failed', reason: 'object-conflict' }])
})

it('backs up in the same batch as it makes the repository', async () => {
  const source = join(folder, 'source')
  mkdirSync(source)
  const ran = await runMover(host, plane, [backupOf('v', source), init])
  expect(ran.done.map(({ outcome }) => outcome)).toEqual(['succeeded', 'succeeded'])
})
