import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { toBase64 } from '../../shared/bytes.ts'
import type { AssignedJob } from '../../shared/protocol/from-control.ts'
import {
  agentCommand,
  enrolHost,
  eventually,
  type RunningAgent,
  removeState,
  startAgent,
} from '../support/agent-process.ts'
import { ScriptedPlane } from '../support/scripted-plane.ts'
import { backupJob, job, runOf } from '../support/scripted-run.ts'

let plane: ScriptedPlane
let folder: string
let state: string
let agent: RunningAgent | undefined

beforeEach(async () => {
  plane = await ScriptedPlane.start()
  folder = mkdtempSync(join(tmpdir(), 'holdfast-source-'))
})
afterEach(async () => {
  await agent?.kill()
  agent = undefined
  await plane.stop()
  removeState(state)
  rmSync(folder, { recursive: true, force: true })
})

async function begin(options: { words?: string[]; rules?: string; password?: string } = {}) {
  state = await enrolHost(plane, options.words === undefined ? {} : { words: options.words })
  if (options.rules !== undefined) writeFileSync(join(state, 'host.yaml'), options.rules)
  if (options.password !== undefined)
    writeFileSync(join(state, 'repository.password'), options.password)
  agent = startAgent(state)
  await eventually('it is welcomed', () => plane.welcomes.length > 0)
}
async function carryOut(one: AssignedJob, repositoryMore = {}) {
  plane.send(runOf(plane.repository, [one], { repositoryMore }))
  const found = () => plane.finishes.find((finish) => finish.job === one.id)
  await eventually(`the end of it\n${agent!.output()}`, () => found() !== undefined)
  return found()!
}
const init = () => job({ kind: 'init' })
const restoreTo = (path: string, more = {}) =>
  job({
    kind: 'restore',
    snapshot: 'a'.repeat(64),
    source: { kind: 'directory', path: '/data' },
    target: { kind: 'directory', path },
    paths: [],
    ...more,
  })

describe('a host', () => {
  it('without a recovery recipient backs nothing up, and says what to do', async () => {
    await begin({ words: [] })
    for (const one of [backupJob(folder), init()]) {
      expect(await carryOut(one)).toMatchObject({
        outcome: 'failed',
        reason: 'no-recovery-recipient',
        message:
          'this host has no recovery recipient; set "recovery: age1…" in host.yaml and restart the agent',
      })
    }
  })

  it('makes its repository password before init, keeps it private, and never makes another', async () => {
    await begin()
    expect(await carryOut(backupJob(folder))).toMatchObject({
      outcome: 'failed',
      reason: 'wrong-password',
      message: 'repository.password is missing from the state directory of the agent; put it back',
    })
    expect(await carryOut(init())).toMatchObject({ outcome: 'succeeded' })
    const file = join(state, 'repository.password')
    const password = readFileSync(file, 'utf8')
    expect(password).toMatch(/^[A-Za-z0-9_-]{43}\n$/)
    expect(await carryOut(init())).toMatchObject({ outcome: 'succeeded' })
    expect(readFileSync(file, 'utf8')).toBe(password)
  })

  it('carries out only what its own file allows, where its own file allows it', async () => {
    const offered = join(folder, 'offered')
    mkdirSync(join(offered, 'below'), { recursive: true })
    mkdirSync(`${offered}-not`)
    const rules = `allow: [backup, restore]\ndirectories: [${offered}]\nrestoreDirectories: [${folder}/restores]\n`
    await begin({ rules, password: 'p' })
    expect(await carryOut(job({ kind: 'verify', readData: false }))).toMatchObject({
      outcome: 'failed',
      reason: 'permission-denied',
      message: 'the host\'s own file does not allow verify jobs; add it to "allow" in host.yaml',
    })
    for (const path of [offered, join(offered, 'below')]) {
      expect(await carryOut(backupJob(path))).toMatchObject({ outcome: 'succeeded' })
    }
    expect(await carryOut(backupJob(`${offered}-not`))).toMatchObject({
      outcome: 'failed',
      reason: 'permission-denied',
      message: expect.stringContaining('"directories" in host.yaml'),
    })
    expect(await carryOut(restoreTo(`${folder}/elsewhere`))).toMatchObject({
      outcome: 'failed',
      reason: 'permission-denied',
      message: expect.stringContaining('"restoreDirectories" in host.yaml'),
    })
    expect(await carryOut(restoreTo(`${folder}/restores/here`))).toMatchObject({
      outcome: 'succeeded',
    })
    const inventory = plane.events.find((event) => event.kind === 'inventory')
    expect(inventory?.inventory.directories).toEqual([offered])
  })

  it('changes nothing that is there and reads no content without a word from its operator', async () => {
    await begin({ rules: '{}', password: 'p' })
    expect(await carryOut(restoreTo(`${folder}/restores/there`))).toMatchObject({
      reason: 'permission-denied',
    })
    expect(await carryOut(backupJob(folder))).toMatchObject({ reason: 'permission-denied' })
    const browse = {
      kind: 'browse' as const,
      snapshot: 'a'.repeat(64),
      source: { kind: 'volume' as const, name: 'data' },
      path: '',
      recipient: 'age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p',
    }
    expect(await carryOut(job({ ...browse, what: 'file' }))).toMatchObject({
      outcome: 'failed',
      reason: 'permission-denied',
      message: expect.stringContaining('"browseFiles: true" in host.yaml'),
    })
    expect(await carryOut(job({ ...browse, what: 'list' }))).toMatchObject({ outcome: 'succeeded' })
  })

  it('does not start with a file it cannot follow, and names the field', async () => {
    state = await enrolHost(plane)
    writeFileSync(join(state, 'host.yaml'), 'allow: everything\n')
    const ended = await agentCommand(['run', '--state', state])
    expect(ended.code).toBe(1)
    expect(ended.stderr).toContain('host.yaml: allow: "everything": Invalid input: expected array')
  })

  it("opens another host's repository with the password that was sealed to it, and with nothing else", async () => {
    await begin()
    const { recipient } = plane.enrolments[0]!
    const sealTo = async (to: string) => {
      const encrypter = new Encrypter()
      encrypter.addRecipient(to)
      return toBase64(await encrypter.encrypt('CANARY-foreign'))
    }
    const note = join(state, 'note')
    const paths = [toBase64(Buffer.from(`note:${note}`))]
    const sealedPassword = await sealTo(recipient)
    const foreign = { foreign: true }
    const good = restoreTo(join(folder, 'a'), { paths, sealedPassword })
    expect(await carryOut(good, foreign)).toMatchObject({ outcome: 'succeeded' })
    expect(JSON.parse(readFileSync(note, 'utf8'))).toMatchObject({ password: 'CANARY-foreign' })
    const stranger = await identityToRecipient(await generateX25519Identity())
    const wrong = restoreTo(join(folder, 'b'), { sealedPassword: await sealTo(stranger) })
    expect(await carryOut(wrong, foreign)).toMatchObject({
      outcome: 'failed',
      reason: 'wrong-password',
      message: 'the recovery password was not sealed to this host',
    })
    expect(await carryOut(restoreTo(join(folder, 'c')), foreign)).toMatchObject({
      outcome: 'failed',
      reason: 'wrong-password',
    })
    expect(agent!.output()).not.toContain('CANARY')
  })
})

/** Space that is full means root and mounts of our own. */
const canMount = process.platform === 'linux' && process.getuid?.() === 0

describe.skipIf(!canMount)('a full disk', () => {
  it('under the state directory does not keep outcomes from being reported, and is told', async () => {
    const disk = join(folder, 'disk')
    mkdirSync(disk)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=80m', 'tmpfs', disk])
    try {
      await begin({ password: 'p' })
      await agent!.stop()
      execFileSync('cp', ['-a', `${state}/.`, disk])
      removeState(state)
      state = disk
      agent = startAgent(disk)
      await eventually('it is welcomed again', () => plane.welcomes.length > 1)
      const { bavail, bsize } = statfsSync(disk)
      try {
        writeFileSync(join(disk, 'cache-of-somebody'), Buffer.alloc(bavail * bsize + 4_096))
      } catch {
        // Full now, as it should be.
      }
      expect(statfsSync(disk).bavail).toBe(0)
      const backup = backupJob(folder)
      expect(await carryOut(backup)).toMatchObject({ job: backup.id })
      expect(statfsSync(disk).bavail).toBeGreaterThan(0)
      plane.cut()
      await eventually('it is told', () =>
        plane.events.some((event) => event.kind === 'notice' && event.code === 'state-disk-full'),
      )
    } finally {
      await agent?.kill()
      execFileSync('umount', [disk])
    }
  })
})
